"""docs/your-first-flow.md, to the letter: its file, its changes and its commands, in a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.settings import PREFECT_API_URL

from tests.sides import Side

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "your-first-flow.md").read_text(encoding="utf-8")
ROOMS = ("reconciliation", "connectors", "tasks", "flows")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def copied(folder: Path) -> Path:
    """The four rooms with what the page adds to them."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    (flow,) = blocks("python")
    name = flow.split()[1]
    (folder / name).write_text(flow, encoding="utf-8")
    (changes,) = blocks("diff")
    for part in re.split(r"^# ", changes, flags=re.MULTILINE)[1:]:
        file, _, lines = part.partition("\n")
        text = (folder / file).read_text(encoding="utf-8")
        for place, line in re.findall(r"^ (.*)\n\+(.*)$", lines, flags=re.MULTILINE):
            assert text.count(f"\n{place}\n") == 1, f"{file} has not one line {place!r}"
            text = text.replace(f"\n{place}\n", f"\n{place}\n{line}\n")
        (folder / file).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.parametrize("dialect_name", ["standard"], indirect=True)
def test_the_first_flow_is_made_looked_at_run_and_seen(configured: Side, tmp_path: Path) -> None:
    assert len(PAGE.splitlines()) < 60
    configured.users()
    code = copied(tmp_path / "code")
    env = {
        **os.environ,
        "PYTHONPATH": str(code),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "COLUMNS": "150",
    }

    def hrsync(*arguments: str) -> str:
        command = [sys.executable, "-m", "flows.start", *arguments]
        done = subprocess.run(
            command, cwd=code, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def no_shows() -> int:
        rows = configured.rows("registrations")
        assert {row["status"] for row in rows} <= {"No Attend"}
        return len(rows)

    (commands,) = blocks("")
    plan, run = (line.split()[1:] for line in commands.splitlines())
    shown = hrsync(*plan)
    created = re.search(r"│ created +│ (\d+) +│", shown)
    assert created, shown
    assert no_shows() == 0, "a plan writes nothing"
    hrsync(*run)
    assert no_shows() == int(created[1]) > 0
    with get_client(sync_client=True) as client:
        (seen,) = client.read_flow_runs(
            limit=1, flow_filter=FlowFilter(name=FlowFilterName(any_=["no_shows_to_hr"]))
        )
    assert seen.name == f"No-shows to HR: {created[1]} created"

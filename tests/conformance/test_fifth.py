"""docs/add-an-hr-system.md, to the letter: a connector in another distribution, put to the laws."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.hr import connectors

from . import test_enrolment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/add-an-hr-system.md").read_text(encoding="utf-8")


def install(folder: Path) -> dict[str, str]:
    """What the page says, installed as a distribution; the environment that sees it."""
    for block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL):
        (folder / block[0]).write_text(block[1], encoding="utf-8")
    point = re.search(
        r'```toml\n\[project.entry-points."hrsync.hr"\]\n(.*?)```', PAGE, flags=re.DOTALL
    )
    assert point
    info = folder / "acme_hr-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-hr\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hrsync.hr]\n" + point[1].replace('"', ""))
    return {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "PYTEST_ADDOPTS": "",
        # Examples of each law. The connectors of this project are tried with more.
        "HRSYNC_LAWS": "10",
    }


def pytest_of(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_fifth_connector_made_from_the_page_alone_passes_the_laws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert "acme" in connectors.__wrapped__(), "it is found, so that it fails by name"
    with pytest.raises(AssertionError, match="the connector acme has no stand"):
        test_enrolment.test_every_connector_has_a_stand("acme")
    code, told = pytest_of(env, "tests/conformance", "-p", "acme_stand", "-k", "acme and not long")
    assert code == 0, told[-3000:]
    passed = re.search(r"(\d+) passed", told)
    assert passed
    assert int(passed[1]) >= 40, told[-300:]

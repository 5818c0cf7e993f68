"""Who may import whom, and what a room is not allowed to do."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from .mutants import MUTANTS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("reconciliation", "connectors", "tasks", "flows", "sandbox")
MAY_IMPORT = {
    "reconciliation": {"reconciliation"},
    "connectors": {"reconciliation", "connectors"},
    "tasks": {"reconciliation", "connectors", "tasks"},
    "flows": {"reconciliation", "connectors", "tasks", "flows"},
    "sandbox": {"sandbox"},
}
PURE = {"httpx", "sqlalchemy", "os", "time", "socket", "pathlib", "subprocess", "requests"}
FILES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]


def imports(file: Path) -> set[str]:
    """Top-level names of absolute imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_arrows(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    used = imports(file)
    assert used & set(ROOMS) <= MAY_IMPORT[room]
    if room not in ("tasks", "flows"):
        assert "prefect" not in used
    if room == "reconciliation":
        assert not used & PURE
        clocks = [
            n
            for n in ast.walk(ast.parse(file.read_text()))
            if isinstance(n, ast.Attribute) and n.attr in ("now", "today", "utcnow")
        ]
        assert not clocks, "a clock is read"


def test_every_package_is_installed() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    there = {".".join(f.parent.relative_to(ROOT).parts) for f in FILES if f.name == "__init__.py"}
    migrations = {
        f"connectors.{d}.migrations{v}"
        for d in ("hr", "hr.csv_drop", "store")
        for v in ("", ".versions")
    }
    assert set(declared) == there | migrations


@pytest.mark.parametrize(
    ("law", "what", "file", "old", "new"), MUTANTS, ids=[m[1] for m in MUTANTS]
)
def test_the_deliberate_mistakes_follow_the_code(
    law: int, what: str, file: str, old: str, new: str
) -> None:
    """``make mutants`` can make each of them, and docs/laws.md names the property that has noticed
    it."""
    assert (ROOT / file).read_text().count(old) == 1, what
    assert old != new
    page = (ROOT / "docs" / "laws.md").read_text()
    assert f"| {what} | `{file}` | `test_law_{law}_" in page

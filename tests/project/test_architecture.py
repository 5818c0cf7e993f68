"""Who may import whom, and what a room is not allowed to do."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
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


MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in FILES
}
COMPUTING = {
    "connectors/accessplanit/decode.py",
    "reconciliation/aligned.py",
    "reconciliation/digest.py",
    "reconciliation/frame.py",
    "reconciliation/identifiers.py",
}
PASSED_OVER = re.compile(r"# (noqa|type: ignore)")


def module_imports(name: str, file: Path) -> set[str]:
    """Names of our own modules that a module imports anywhere, functions too."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            inside = {f"{origin}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= inside or {origin}
    return found & set(MODULES) - {name}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules that are left when those that import nothing of the others are taken away, again
    and again: empty if there is no circle."""
    left = {name: set(needs) for name, needs in graph.items()}
    while done := [name for name, needs in left.items() if not needs]:
        for name in done:
            del left[name]
        for needs in left.values():
            needs.difference_update(done)
    return sorted(left)


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


def test_only_the_default_clock_of_a_run_tells_the_time_in_the_pure_room() -> None:
    """``datetime.now()`` and its like are called in one place; everything else is given ``now``."""
    clocks = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] == "reconciliation"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("now", "today", "utcnow")
    ]
    assert [clock.partition(":")[0] for clock in clocks] == ["reconciliation/run/context.py"]


def test_pandas_first() -> None:
    """``pyarrow.compute`` only where it is the decoder, the key-aligned comparison, or under
    them."""
    users = {str(file.relative_to(ROOT)) for file in FILES if "pyarrow.compute" in file.read_text()}
    assert users == COMPUTING


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: module_imports(name, file) for name, file in MODULES.items()}
    assert circle_in(graph) == []


def test_what_a_linter_is_told_to_pass_over_has_its_reason_on_the_line_above() -> None:
    unexplained = []
    for file in FILES:
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if PASSED_OVER.search(line) and not lines[number - 1].lstrip().startswith("#"):
                unexplained.append(f"{file.relative_to(ROOT)}:{number + 1}")
    assert unexplained == []


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

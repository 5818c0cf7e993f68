"""The pages that people read: their links lead somewhere, and the path that they show is the path
that the code takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOUR_CALLS = (
    ("flows/awards_to_hr.py", "awards_to_hr", {"run_flow"}),
    ("flows/_process.py", "run_flow", {"run_process"}),
    ("flows/_run.py", "run_process", {"extract", "load"}),
    ("reconciliation/run/extract.py", "extract", {"read"}),
    ("reconciliation/run/load.py", "load", {"apply"}),
)
"""(file, function, what it calls): docs/how-a-run-works.md shows them."""


def tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> list[str]:
    """Targets of a page's links and images that are not on another host."""
    found = []
    for token in tokens(page):
        found += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
        if token.type.startswith("html"):
            found += re.findall(r'(?:src|href)="([^"]+)"', token.content)
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in addresses."""
    found: list[str] = []
    heading = False
    for token in tokens(page):
        if heading and token.type == "inline":
            words = re.sub(r"[^\w\- ]", "", token.content.lower()).replace(" ", "-")
            found.append(words)
        heading = token.type == "heading_open"
    return {
        f"{name}-{found[:place].count(name)}" if name in found[:place] else name
        for place, name in enumerate(found)
    }


def symbols(nodes: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """What a file defines: functions, classes with their members, names."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from symbols(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + name.id for name in names if isinstance(name, ast.Name))


def defined(file: Path) -> set[str]:
    return set(symbols(ast.parse(file.read_text(encoding="utf-8")).body))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(f"{link}: there is no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            broken.append(f"{link}: the page has no such heading")
        elif anchor and file.suffix == ".py" and anchor not in defined(file):
            broken.append(f"{link}: the file does not define it")
    assert broken == []


@pytest.mark.parametrize(
    ("file", "function", "called"), FOUR_CALLS, ids=[function for _, function, _ in FOUR_CALLS]
)
def test_the_path_is_four_calls(file: str, function: str, called: set[str]) -> None:
    body = next(
        node
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    # A step is called or handed to whoever calls it, such as timed(extract, …).
    names = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    assert called <= names
    page = (ROOT / "docs" / "how-a-run-works.md").read_text(encoding="utf-8")
    assert f"[{function}](../{file}#{function})" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_named_is_there(page: Path) -> None:
    """Files of ours that a page names in code, such as ``flows/catalogue.py``."""
    rooms = "reconciliation|connectors|tasks|flows|sandbox|tests|benchmarks|docs"
    named = {
        path
        for token in tokens(page)
        if token.type == "code_inline"
        for path in re.findall(rf"\b(?:{rooms})/[\w./-]*\.(?:py|md|toml|lock)\b", token.content)
    }
    # The release notes and the mutants' page name files as they were.
    if page.name not in ("CHANGELOG.md", "laws.md"):
        assert [path for path in sorted(named) if not (ROOT / path).exists()] == []

"""Erases a person from historical reconciliations: their reports, lists of people and unfinished
work."""

from __future__ import annotations

import html
import re

from reconciliation.person import Erased, Person

from ..checkpoints import Folder
from .page import csv_of

ROW = re.compile(r"<tr\b.*?</tr>\n?", re.DOTALL)


def forget(home: Folder, person: Person) -> Erased:
    """Erases a person below the folder for reconciliations: rows of tables, rows of pages, lines of
    lists. The data of unfinished reconciliations is deleted, so that they start over.

    Raises:
        StoreFailed: the folder cannot be read or written. The call can be repeated.
    """
    home.below("work").remove()
    rows = _of_lists(home.below("lists"), person)
    for name in home.names():
        if name not in ("work", "lists"):
            rows += _of_report(home.below(name), person)
    return Erased(rows)


def _of_lists(lists: Folder, person: Person) -> int:
    """Erases a person from lists of people. Returns the number of deleted lines."""
    rows = 0
    for name in lists.names():
        lines = (lists.text(name) or "").splitlines()
        others = [line for line in lines if not person.has(line)]
        rows += len(lines) - len(others)
        if not any(line.strip() for line in others):
            lists.delete(name)
        elif len(others) < len(lines):
            lists.write(name, "\n".join(others).encode())
    return rows


def _of_report(report: Folder, person: Person) -> int:
    """Erases a person from one report. Returns the number of deleted rows of its tables."""
    rows = 0
    for file in report.names():
        name, _, kind = file.rpartition(".")
        if kind == "parquet":
            table = report.frame(name)
            theirs = person.theirs(table)
            others = table[~theirs].reset_index(drop=True)
            redacted = person.redacted(others)
            if theirs.any() or redacted is not others:
                rows += int(theirs.sum())
                report.keep(name, redacted)
                report.write(f"{name}.csv", csv_of(redacted))
        elif kind == "html":
            page = report.text(file) or ""
            redacted_page = without(page, person)
            if redacted_page != page:
                report.write(file, redacted_page.encode())
    return rows


def without(page: str, person: Person) -> str:
    """Returns a page without the table rows that name a person."""

    def unless_named(row: re.Match[str]) -> str:
        cells = (html.unescape(cell).strip() for cell in re.split(r"<[^>]*>", row[0]))
        named = any(person.mentioned(cell) or person.has(cell) for cell in cells if cell)
        return "" if named else row[0]

    return ROW.sub(unless_named, page)

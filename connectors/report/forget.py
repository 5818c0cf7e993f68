"""A person is taken out of reports, of lists of people, and of what was read for a question that
was not answered yet."""

from __future__ import annotations

import html
import re

from reconciliation.person import Erased, Person

from ..checkpoints import Folder
from .page import csv_of

ROW = re.compile(r"<tr\b.*?</tr>\n?", re.DOTALL)


def forget(home: Folder, person: Person) -> Erased:
    """Erases a person below the folder of reconciliations: rows of tables, rows of pages, lines of
    lists. Questions that are not answered yet are begun anew.

    Raises:
        StoreFailed: it cannot be read or written; the same call may be made again.
    """
    home.below("work").remove()
    rows = _of_lists(home.below("lists"), person)
    for name in home.names():
        if name not in ("work", "lists"):
            rows += _of_report(home.below(name), person)
    return Erased(rows)


def _of_lists(lists: Folder, person: Person) -> int:
    rows = 0
    for name in lists.names():
        lines = (lists.text(name) or "").splitlines()
        kept = [line for line in lines if not person.has(line)]
        rows += len(lines) - len(kept)
        if not any(line.strip() for line in kept):
            lists.delete(name)
        elif len(kept) < len(lines):
            lists.write(name, "\n".join(kept).encode())
    return rows


def _of_report(report: Folder, person: Person) -> int:
    rows = 0
    for file in report.names():
        name, _, kind = file.rpartition(".")
        if kind == "parquet":
            table = report.frame(name)
            theirs = person.theirs(table)
            kept = table[~theirs].reset_index(drop=True)
            left = person.redacted(kept)
            if theirs.any() or left is not kept:
                rows += int(theirs.sum())
                report.keep(name, left)
                report.write(f"{name}.csv", csv_of(left))
        elif kind == "html":
            page = report.text(file) or ""
            left_over = without(page, person)
            if left_over != page:
                report.write(file, left_over.encode())
    return rows


def without(page: str, person: Person) -> str:
    """A page without the rows of its tables that name a person."""

    def kept(row: re.Match[str]) -> str:
        cells = (html.unescape(cell).strip() for cell in re.split(r"<[^>]*>", row[0]))
        return (
            ""
            if any(person.mentioned(cell) or person.has(cell) for cell in cells if cell)
            else row[0]
        )

    return ROW.sub(kept, page)

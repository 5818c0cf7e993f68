"""The odd values by kind, and the look at what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciliation.frame import arrow
from reconciliation.snapshot import Snapshot
from tests import odd_values as odd

from .odd_values import No

Table = Sequence[tuple[Any, Any]]
BY_KIND: Mapping[str, Table] = {
    "text": [*odd.TEXT, *odd.NUMBERS_AS_TEXT, *odd.NOT_TEXT],
    "flag": odd.FLAGS,
    "day": odd.DAYS,
    "moment": odd.MOMENTS,
    "number": odd.NUMBERS,
}


def check(read: Snapshot | tuple[Any, Any], column: str, table: Table) -> None:
    """Row ``r<n>`` says the n-th line of the table."""
    frame, rejected = (read.frame, read.rejected) if isinstance(read, Snapshot) else read
    key = str(frame.columns[0])
    values = dict(zip(frame[key], arrow(frame[column]).to_pylist(), strict=True))
    reasons = dict(zip(rejected["key"], rejected["reason"], strict=True))
    for number, (said, meant) in enumerate(table):
        name = f"r{number}"
        if isinstance(meant, No):
            assert meant.because in reasons.get(name, f"{values.get(name)!r} was read"), said
        else:
            assert name in values, (said, reasons.get(name))
            found = values[name].strip() or None if isinstance(values[name], str) else values[name]
            assert found == meant, said
    assert len(values) + len(reasons) == len(table)

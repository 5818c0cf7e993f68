"""The rows of an HR system as typed columns: one bad cell is one rejected row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from reconciliation.frame import ARROW, arrow, frame, of, without_days
from reconciliation.plan import managed
from reconciliation.receipts import RECEIPTS
from reconciliation.snapshot import REJECTED
from reconciliation.tables import TEXT
from reconciliation.values import CONTROL, NO_END, READERS, YEARS, day, moment

CONTROL_BYTES = "[\x00-\x08\x0b\x0c\x0e-\x1f]"
"""``values.CONTROL`` for columns, which hold no half characters."""
RAW_KEPT = 4000
"""Characters of a rejected row that are kept with it."""


def typed(
    kinds: Mapping[str, str], rows: Sequence[Sequence[Any]], no_end: Collection[date] = NO_END
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the rows that can be read, the rejected ones) of cells as a system gives them.

    Args:
        kinds: column -> kind, the key first, in the order of the cells. Moments without an offset
            are UTC.
        rows: cells as the driver or the API gives them.
        no_end: dates that stand for no date.

    Returns:
        Columns ``kinds``; and ``snapshot.REJECTED`` without ``hash``, the key null where it cannot
        be read either.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    found: dict[str, pa.Array] = {}
    wrong: dict[int, tuple[str, str]] = {}
    for (name, kind), cells in zip(kinds.items(), columns, strict=True):
        plain = _plain(cells, kind)
        if plain is not None:
            found[name] = without_days(plain, no_end) if kind in ("day", "moment") else plain
            continue
        values, bad = _one_by_one(cells, kind, no_end)
        found[name] = pa.array(values, ARROW[kind])
        wrong = {**{place: (name, reason) for place, reason in bad.items()}, **wrong}
    read = frame(found)
    good = np.ones(len(read), dtype=bool)
    good[list(wrong)] = False
    names = list(kinds)
    broken = [
        (_key(rows[place][0]), *wrong[place], raw(dict(zip(names, rows[place], strict=True))), None)
        for place in sorted(wrong)
    ]
    return read[good].reset_index(drop=True), of(REJECTED, broken)


def unwritable(changes: pd.DataFrame) -> pd.DataFrame:
    """Receipts (``receipts.RECEIPTS``) of changes that hold text which no reader accepts: what is
    written must be readable."""
    found: dict[str, str] = {}
    for name in ("key", *managed(changes)):
        column = changes[name]
        if column.dtype == TEXT and _holds_control(arrow(column)):
            odd = column.str.contains(CONTROL_BYTES).fillna(False)
            for key in changes.loc[odd, "key"]:
                found.setdefault(key, f"{name} contains control characters")
    return of(RECEIPTS, [(key, "failed", reason, None) for key, reason in found.items()])


SEVERAL = "is the number of several employees"
"""Why a row is rejected whose key stands more than once: nobody can tell whose it is."""


def several(keys: Iterable[str | None]) -> set[str]:
    """The keys that stand more than once."""
    return {key for key, times in Counter(keys).items() if key and times > 1}


def raw(row: Mapping[str, Any]) -> str:
    """A row as JSON, for the person who corrects it: personal data, for the store only."""
    return json.dumps(row, default=_as_text)[:RAW_KEPT]


def _as_text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _key(value: Any) -> str | None:
    """A key that the store can hold, or none."""
    return value if isinstance(value, str) and value.strip() and not CONTROL.search(value) else None


def _plain(cells: Sequence[Any], kind: str) -> pa.Array | None:
    """The cells in one go where all are of the plainest form, else ``None``: then each is looked
    at."""
    types = set(map(type, cells)) - {type(None)}
    if kind == "flag" and types <= {bool}:
        return pa.array(cells, ARROW[kind])
    if kind == "text" and types <= {str}:
        try:
            column = pa.array(cells, ARROW[kind])
        except UnicodeEncodeError:
            return None
        return None if _holds_control(column) else column
    if kind in ("day", "moment") and types <= {str}:
        return _plain_dates(cells, kind)
    return None


def _plain_dates(cells: Sequence[str | None], kind: str) -> pa.Array | None:
    """Dates in the one form that Arrow reads, in usual years; else ``None``."""
    try:
        moments = pa.array(cells, pa.string()).cast(pa.timestamp("us"))
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    years = pd.Series(moments, dtype=pd.ArrowDtype(moments.type)).dt.year.dropna()
    # Without an offset it is UTC.
    return moments.cast(ARROW[kind]) if years.between(*YEARS).all() else None


def _holds_control(column: pa.Array) -> bool:
    """Whether any text may hold a control character: by the bytes, at the speed of memory."""
    data = column.buffers()[2]
    if data is None:
        return False
    low = np.frombuffer(data, np.uint8)
    odd = low[low < 0x20]
    return bool(np.isin(odd, [0x09, 0x0A, 0x0D], invert=True).any())


def _one_by_one(
    cells: Sequence[Any], kind: str, no_end: Collection[date]
) -> tuple[list[Any], dict[int, str]]:
    """The value of each cell, ``None`` where it cannot be read, and why that is (place ->
    reason)."""
    values: list[Any] = []
    wrong: dict[int, str] = {}
    for place, cell in enumerate(cells):
        try:
            values.append(_value(cell, kind, no_end))
        except ValueError as error:
            values.append(None)
            wrong[place] = str(error)
    return values, wrong


def _value(cell: Any, kind: str, no_end: Collection[date]) -> Any:
    if kind == "day":
        return day(cell, no_end)
    if kind == "moment":
        said = moment(cell, no_end)
        return said if said is None else _utc(said)
    said = READERS[kind](cell)
    # Text stays as the system writes it: a key with space around it is found only so.
    return cell if isinstance(cell, str) and kind == "text" else said


def _utc(said: datetime) -> datetime:
    return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)

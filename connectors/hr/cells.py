"""Converts the cells of an HR system to typed columns. A row with a bad cell is rejected."""

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
"""``values.CONTROL`` as a regular expression for text columns."""
RAW_KEPT = 4000
"""Maximum number of characters of a rejected row that are kept."""


def typed(
    kinds: Mapping[str, str], rows: Sequence[Sequence[Any]], no_end: Collection[date] = NO_END
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Converts cells to typed columns.

    Args:
        kinds: column -> kind, in the order of the cells; the key comes first. Moments without an
            offset are in UTC.
        rows: one sequence of cells per row, as the driver or the API returns them.
        no_end: dates that mean "no date".

    Returns:
        The readable rows with the columns ``kinds``, and the rejected rows
        (``snapshot.REJECTED``; ``hash`` is null, and ``key`` is null if it cannot be read).
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    arrays: dict[str, pa.Array] = {}
    problems: dict[int, tuple[str, str]] = {}
    for (name, kind), cells in zip(kinds.items(), columns, strict=True):
        plain = _plain(cells, kind)
        if plain is not None:
            arrays[name] = without_days(plain, no_end) if kind in ("day", "moment") else plain
            continue
        values, reasons = _one_by_one(cells, kind, no_end)
        arrays[name] = pa.array(values, ARROW[kind])
        # A row is rejected once, for its first bad cell.
        problems = {place: (name, reason) for place, reason in reasons.items()} | problems
    data = frame(arrays)
    good = np.ones(len(data), dtype=bool)
    good[list(problems)] = False
    rejected = []
    for place, (name, reason) in sorted(problems.items()):
        row = dict(zip(kinds, rows[place], strict=True))
        rejected.append((_key(rows[place][0]), name, reason, raw(row), None))
    return data[good].reset_index(drop=True), of(REJECTED, rejected)


def unwritable(changes: pd.DataFrame, mandatory: Collection[str] = ()) -> pd.DataFrame:
    """Returns receipts (``receipts.RECEIPTS``) that refuse changes: without a value in a
    ``mandatory`` column, or with control characters in a text. The next read would reject a row
    with such characters."""
    reasons: dict[str, str] = {}
    for name in (n for n in managed(changes) if n in mandatory):
        for key in changes.loc[changes[name].isna(), "key"]:
            reasons.setdefault(key, f"{name} must have a value")
    for name in ("key", *managed(changes)):
        column = changes[name]
        if column.dtype == TEXT and _holds_control(arrow(column)):
            odd = column.str.contains(CONTROL_BYTES).fillna(False)
            for key in changes.loc[odd, "key"]:
                reasons.setdefault(key, f"{name} contains control characters")
    return of(RECEIPTS, [(key, "failed", reason, None) for key, reason in reasons.items()])


SEVERAL = "is the number of several employees"
"""The reason why rows that share a key are rejected: it is not known whose row is whose."""


def several(keys: Iterable[str | None]) -> set[str]:
    """Returns the keys that occur more than once."""
    return {key for key, times in Counter(keys).items() if key and times > 1}


def raw(row: Mapping[str, Any]) -> str:
    """Returns a row as JSON for the person who corrects it. It is personal data: keep it in the
    store only."""
    return json.dumps(row, default=_as_text)[:RAW_KEPT]


def _as_text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _key(value: Any) -> str | None:
    """Returns the key, or ``None`` if the store cannot hold it."""
    return value if isinstance(value, str) and value.strip() and not CONTROL.search(value) else None


def _plain(cells: Sequence[Any], kind: str) -> pa.Array | None:
    """Converts all cells at once, which is fast. Returns ``None`` if a cell is not in the simplest
    form; then each cell must be converted on its own."""
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
    """Converts dates at once if all are in Arrow's form and in ordinary years; else returns
    ``None``."""
    try:
        moments = pa.array(cells, pa.string()).cast(pa.timestamp("us"))
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    years = pd.Series(moments, dtype=pd.ArrowDtype(moments.type)).dt.year.dropna()
    # Without an offset it is UTC.
    return moments.cast(ARROW[kind]) if years.between(*YEARS).all() else None


def _holds_control(column: pa.Array) -> bool:
    """Whether any text contains a control character. Searches the bytes of the whole column, which
    is faster than searching each text."""
    data = column.buffers()[2]
    if data is None:
        return False
    low = np.frombuffer(data, np.uint8)
    odd = low[low < 0x20]
    # Mostly there is none, and "isin" takes longer than all the rest.
    return len(odd) > 0 and bool(np.isin(odd, [0x09, 0x0A, 0x0D], invert=True).any())


def _one_by_one(
    cells: Sequence[Any], kind: str, no_end: Collection[date]
) -> tuple[list[Any], dict[int, str]]:
    """Returns the value of each cell, and why cells cannot be read (position -> reason). The value
    of an unreadable cell is ``None``."""
    values: list[Any] = []
    reasons: dict[int, str] = {}
    for place, cell in enumerate(cells):
        try:
            values.append(_value(cell, kind, no_end))
        except ValueError as error:
            values.append(None)
            reasons[place] = str(error)
    return values, reasons


def _value(cell: Any, kind: str, no_end: Collection[date]) -> Any:
    if kind == "day":
        return day(cell, no_end)
    if kind == "moment":
        instant = moment(cell, no_end)
        return instant if instant is None else _utc(instant)
    value = READERS[kind](cell)
    # Text keeps its spaces: a key with spaces around it is only found with them.
    return cell if isinstance(cell, str) and kind == "text" else value


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)

"""What the target should hold, from what the source said."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from . import awards
from .frame import ARROW, arrow, concat, empty, fold, folded, frame, strings
from .match import HELD, held, linked
from .spec import FieldMap, ProcessSpec
from .values import CUSTOM, READERS, decoded, encoded, shown

WAITS = {
    "to_hr": "waits until this user is an employee in HR",
    "from_hr": "waits until this employee is a user in accessplanit",
}


def waiting_for_person(
    spec: ProcessSpec, data: pd.DataFrame, people: pd.DataFrame
) -> tuple[pa.Array, pd.DataFrame]:
    """The person of each row as the target knows it, and the rows that wait because theirs is not
    linked yet.

    ``people`` are the links of the people, from the source's side.
    """
    theirs = arrow(data[str(spec.person)])
    persons = linked(theirs, people)
    missing = pc.is_null(persons)
    keys = arrow(data[spec.key]).filter(missing)
    return persons, held(keys, str(spec.person), WAITS[spec.direction], theirs.filter(missing))


def in_doubt(spec: ProcessSpec, data: pd.DataFrame) -> pd.DataFrame:
    """:data:`reconciliation.match.HELD` for the records that say themselves why they are held
    (``ProcessSpec.doubt``)."""
    if spec.doubt is None:
        return empty(HELD)
    reasons = data[data[spec.doubt].notna()].groupby(spec.doubt)[spec.key]
    return concat([empty(HELD), *(held(arrow(keys), "(row)", str(why)) for why, keys in reasons)])


def desired(
    spec: ProcessSpec, data: pd.DataFrame, persons: pa.Array | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the entity, one for each of ``data``: ``source_key`` and every managed column but
    those that awards derive.

    Also the rows of :data:`reconciliation.match.HELD` whose value has no counterpart in the target.
    """
    columns: dict[str, pa.Array] = {"source_key": arrow(data[spec.key])}
    if spec.person and persons is not None:
        columns[spec.holder] = persons
    problems = [empty(HELD)]
    for f in spec.fields:
        columns[f.target], unknown = mapped(f, arrow(data[f.source]))
        if unknown.any():
            keys = arrow(data[spec.key]).filter(pa.array(unknown))
            problems.append(
                held(keys, f.source, f"has a value that the mapping of {f.target} does not name")
            )
    if spec.custom:
        columns["custom"] = _custom(data, spec.custom)
    return frame(columns), concat(problems)


def mapped(
    field: FieldMap, values: pa.Array
) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A field's values as the target writes them, and where a strict field has no counterpart for
    one."""
    if field.source.startswith(CUSTOM) != field.target.startswith(CUSTOM):
        return _of_custom(field, values) if field.source.startswith(CUSTOM) else _as_custom(values)
    if not field.values:
        return values.cast(ARROW[field.kind]), np.zeros(len(values), dtype=bool)
    names = [fold(name) for name, _ in field.values]
    place = pc.index_in(folded(values), value_set=pa.array(names, pa.string()))
    found = pa.array([value for _, value in field.values], pa.string()).take(place)
    if not field.strict:
        return pc.coalesce(found, values), np.zeros(len(values), dtype=bool)
    return found, np.asarray(pc.and_(pc.is_valid(values), pc.is_null(found)))


def _of_custom(
    field: FieldMap, values: pa.Array
) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """As :func:`mapped`, for a custom field: its value is read as what the field's kind is."""
    texts = pa.array([shown(text) for text in strings(values)], pa.string())
    if field.values or field.kind == "text":
        return mapped(field.model_copy(update={"source": field.target}), texts)
    found: list[Any] = []
    unknown = np.zeros(len(values), dtype=bool)
    for place, text in enumerate(strings(texts)):
        try:
            found.append(READERS[field.kind](text))
        except ValueError:
            found.append(None)
            unknown[place] = True
    return pa.array(found, ARROW[field.kind]), unknown


def _as_custom(values: pa.Array) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """As :func:`mapped`, for an ordinary value that becomes a custom field."""
    texts = values if pa.types.is_string(values.type) else values.cast(pa.string())
    return pa.array([encoded(text) for text in strings(texts)], pa.string()), np.zeros(
        len(values), dtype=bool
    )


def for_new(
    spec: ProcessSpec,
    wanted: pd.DataFrame,
    data: pd.DataFrame,
    new: np.ndarray[Any, np.dtype[np.bool_]],
) -> pd.DataFrame:
    """``wanted`` with what a new row gets where its own column has no value
    (``FieldMap.instead``)."""
    place = pc.index_in(arrow(wanted["source_key"]), value_set=arrow(data[spec.key]))
    for f in spec.fields:
        if f.instead is not None:
            other = arrow(data[f.instead]).take(place)
            filled = pc.if_else(
                pa.array(new), pc.coalesce(arrow(wanted[f.target]), other), arrow(wanted[f.target])
            )
            wanted = wanted.assign(**{f.target: frame({"value": filled})["value"]})
    return wanted


def _custom(data: pd.DataFrame, names: tuple[str, ...]) -> pa.Array:
    """The chosen custom fields as one JSON object with sorted keys; null if none has a value."""
    rows = zip(*(strings(data[name]) for name in sorted(names)), strict=True)
    filled = (
        {n: decoded(v) for n, v in zip(sorted(names), row, strict=True) if v is not None}
        for row in rows
    )
    return pa.array(
        [json.dumps(row, ensure_ascii=False) if row else None for row in filled], pa.string()
    )


def with_siblings(
    spec: ProcessSpec,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    today: date,
    touched: pd.DataFrame,
) -> pd.DataFrame:
    """``wanted`` and the target rows of the same groups, all with their award states as of
    ``today``.

    A sibling keeps what the target holds of it; only its state can change, because of the others or
    of the day. touched: rows of the target whose groups are looked at as well.
    """
    if not spec.award_states:
        return wanted
    key = spec.entity_key
    others = awards.siblings(wanted, touched, target, key)
    # What was revoked in HR stays revoked until the source says otherwise; what was not there yet
    # has no state.
    fresh = wanted.assign(state=pd.Series([None] * len(wanted), dtype=pd.ArrowDtype(pa.string())))
    fresh["superseded_by"] = fresh["state"]
    others = others.assign(source_key=others[key])[list(fresh.columns)]
    return awards.with_states(concat([fresh, others]), key, today, spec.expiring_within_days)

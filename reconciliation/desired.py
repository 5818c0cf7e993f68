"""What the target should hold, from what the source said."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pandas as pd

from . import awards
from .frame import concat, empty
from .match import HELD, held, linked
from .spec import AwardStates, HeldByReason, ProcessSpec
from .tables import DTYPES, looked_up, texts
from .translate import mapped
from .values import decoded

WAITS = {
    "to_hr": "waits until this user is an employee in HR",
    "from_hr": "waits until this employee is a user in accessplanit",
}


def waiting_for_person(
    spec: ProcessSpec, data: pd.DataFrame, people: pd.DataFrame
) -> tuple[pd.Series[Any], pd.DataFrame]:
    """The person of each row as the target knows it, and the rows that wait because theirs is not
    linked yet.

    ``people`` are the links of the people, from the source's side.
    """
    theirs = data[str(spec.person)]
    persons = linked(theirs, people)
    missing = persons.isna()
    waiting = held(
        data.loc[missing, spec.key], str(spec.person), WAITS[spec.direction], theirs[missing]
    )
    return persons, waiting


def in_doubt(spec: ProcessSpec, data: pd.DataFrame) -> pd.DataFrame:
    """:data:`reconciliation.match.HELD` for the records that say themselves why they are held
    (``HeldByReason``)."""
    rule = spec.rule(HeldByReason)
    if rule is None:
        return empty(HELD)
    reasons = data[data[rule.column].notna()].groupby(rule.column)[spec.key]
    return concat([empty(HELD), *(held(keys, "(row)", str(why)) for why, keys in reasons)])


def desired(
    spec: ProcessSpec, data: pd.DataFrame, persons: pd.Series[Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the entity, one for each of ``data``: ``source_key`` and every managed column but
    those that awards derive.

    Also the rows of :data:`reconciliation.match.HELD` whose value has no counterpart in the target.
    """
    columns: dict[str, pd.Series[Any]] = {"source_key": data[spec.key]}
    if spec.person and persons is not None:
        columns[spec.holder] = persons
    problems = [empty(HELD)]
    for f in spec.fields:
        columns[f.target], unknown = mapped(f, data[f.source])
        if unknown.any():
            why = f"has a value that the mapping of {f.target} does not name"
            problems.append(held(data.loc[unknown, spec.key], f.source, why))
    if spec.custom:
        columns["custom"] = _custom(data, spec.custom)
    return pd.DataFrame(columns), concat(problems)


def for_new(
    spec: ProcessSpec, wanted: pd.DataFrame, data: pd.DataFrame, new: pd.Series[Any]
) -> pd.DataFrame:
    """``wanted`` with what a new row gets where its own column has no value
    (``FieldMap.instead``)."""
    instead = {f.target: f.instead for f in spec.fields if f.instead is not None}
    if not instead:
        return wanted
    records = looked_up(wanted["source_key"], data, spec.key)
    filled = {
        column: wanted[column].mask(new & wanted[column].isna(), records[other])
        for column, other in instead.items()
    }
    return wanted.assign(**filled)


def _custom(data: pd.DataFrame, names: tuple[str, ...]) -> pd.Series[Any]:
    """The chosen custom fields as one JSON object with sorted keys; null if none has a value."""
    names = tuple(sorted(names))
    rows = data[list(names)].itertuples(index=False, name=None)
    filled = (
        {n: decoded(value) for n, value in zip(names, row, strict=True) if pd.notna(value)}
        for row in rows
    )
    written = texts(json.dumps(row, ensure_ascii=False) if row else None for row in filled)
    return written.set_axis(data.index)


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
    rule = spec.rule(AwardStates)
    if rule is None:
        return wanted
    key = spec.entity_key
    others = awards.siblings(wanted, touched, target, key)
    # What was revoked in HR stays revoked until the source says otherwise; what was not there yet
    # has no state.
    nothing = pd.Series(pd.NA, index=wanted.index, dtype=DTYPES["text"])
    fresh = wanted.assign(state=nothing, superseded_by=nothing)
    others = others.assign(source_key=others[key])[list(fresh.columns)]
    return awards.with_states(concat([fresh, others]), key, today, rule.expiring_within_days)

"""Builds the rows that the target should hold from the source's records."""

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
    """Returns the target's key of each row's person, and the rows (:data:`match.HELD`) that wait
    because their person is not linked yet.

    ``people`` are the links of people; ``source_key`` is the key on the source's side.
    """
    source_persons = data[str(spec.person)]
    persons = linked(source_persons, people)
    missing = persons.isna()
    waiting = held(
        data.loc[missing, spec.key],
        str(spec.person),
        WAITS[spec.direction],
        waits_for=source_persons[missing],
    )
    return persons, waiting


def in_doubt(spec: ProcessSpec, data: pd.DataFrame) -> pd.DataFrame:
    """Returns :data:`reconciliation.match.HELD` for the records that contain the reason why they
    are held (``HeldByReason``)."""
    rule = spec.rule(HeldByReason)
    if rule is None:
        return empty(HELD)
    reasons = data[data[rule.column].notna()].groupby(rule.column)[spec.key]
    return concat([empty(HELD), *(held(keys, "(row)", str(why)) for why, keys in reasons)])


def desired(
    spec: ProcessSpec, data: pd.DataFrame, persons: pd.Series[Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Builds the target's rows, one for each of ``data``: ``source_key`` and every managed column
    except the derived states of awards.

    Also returns :data:`reconciliation.match.HELD` for records with a value that is not mapped.
    """
    columns: dict[str, pd.Series[Any]] = {"source_key": data[spec.key]}
    if spec.person and persons is not None:
        columns[spec.holder] = persons
    problems = [empty(HELD)]
    for f in spec.fields:
        columns[f.target], unknown = mapped(f, data[f.source])
        if unknown.any():
            why = (
                f"has a value that is not in the mapping of {f.target}"
                if f.values
                else f"has a value that cannot be read as a {f.kind}"
            )
            problems.append(held(data.loc[unknown, spec.key], f.source, why))
    if spec.custom:
        columns["custom"] = _custom(data, spec.custom)
    return pd.DataFrame(columns), concat(problems)


def for_new(
    spec: ProcessSpec, wanted: pd.DataFrame, data: pd.DataFrame, new: pd.Series[Any]
) -> pd.DataFrame:
    """Fills empty columns of the rows ``new`` (a mask of ``wanted``) from the field's other column
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
    """Returns the custom fields ``names`` as one JSON object with sorted keys; null if none has a
    value."""
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
    """Adds the target's other rows of the same groups (holder and award) to ``wanted``, and
    computes the award states of all of them as of ``today``.

    Of the added rows only the state can change, because of the other rows or the day. The groups of
    ``touched`` (rows of the target) are added as well.
    """
    rule = spec.rule(AwardStates)
    if rule is None:
        return wanted
    key = spec.entity_key
    others = awards.siblings(wanted, touched, target, key)
    # Rows that the source has sent start without a state, even if the target has revoked them. The
    # other rows keep theirs, so that a revoked award stays revoked.
    no_state = pd.Series(pd.NA, index=wanted.index, dtype=DTYPES["text"])
    from_source = wanted.assign(state=no_state, superseded_by=no_state)
    others = others.assign(source_key=others[key])[list(from_source.columns)]
    return awards.with_states(concat([from_source, others]), key, today, rule.expiring_within_days)

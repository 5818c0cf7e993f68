"""What the target should hold, from what the source said."""

from __future__ import annotations

import json
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from . import awards
from .frame import ARROW, arrow, concat, frame, pick, strings, true
from .match import held, linked
from .spec import ProcessSpec


def waiting_for_person(spec: ProcessSpec, data: pd.DataFrame, people: pd.DataFrame) -> tuple[pa.Array, pd.DataFrame]:
    """The employee of each row, and the rows that wait because their user is not linked to one yet.

    ``people`` are the links of the employees.
    """
    users = arrow(data[str(spec.person)])
    employees = linked(users, people)
    missing = pc.is_null(employees)
    keys = arrow(data[spec.key]).filter(missing)
    return employees, held(keys, str(spec.person), "waits until this user is an employee in HR", users.filter(missing))


def desired(spec: ProcessSpec, data: pd.DataFrame, keys: pa.Array, employees: pa.Array | None) -> pd.DataFrame:
    """Rows of the entity: its key, ``source_key`` and every managed column but those that awards derive.

    Rows whose key or employee is null are left out: they are held.
    """
    columns: dict[str, pa.Array] = {spec.entity_key: keys, "source_key": arrow(data[spec.key])}
    ready = pc.is_valid(keys)
    if employees is not None:
        columns["employee_id"] = employees
        ready = pc.and_(ready, pc.is_valid(employees))
    columns |= {f.target: arrow(data[f.source]).cast(ARROW[f.kind]) for f in spec.fields}
    if spec.custom:
        columns["custom"] = _custom(data, spec.custom)
    return pick(frame(columns), true(ready))


def _custom(data: pd.DataFrame, names: tuple[str, ...]) -> pa.Array:
    """The chosen custom fields as one JSON object with sorted keys; null if none has a value."""
    rows = zip(*(strings(data[name]) for name in sorted(names)), strict=True)
    filled = ({n: v for n, v in zip(sorted(names), row, strict=True) if v is not None} for row in rows)
    return pa.array([json.dumps(row, ensure_ascii=False) if row else None for row in filled], pa.string())


def with_siblings(spec: ProcessSpec, wanted: pd.DataFrame, target: pd.DataFrame, today: date) -> pd.DataFrame:
    """``wanted`` and the target rows of the same groups, all with their award states as of ``today``.

    A sibling keeps what the target holds of it; only its state can change, because of the others or of the day.
    """
    if not spec.award_states:
        return wanted
    key = spec.entity_key
    others = awards.siblings(wanted, target, key)
    # What was revoked in HR stays revoked until the source says otherwise; what was not there yet has no state.
    fresh = wanted.assign(state=pd.Series([None] * len(wanted), dtype=pd.ArrowDtype(pa.string())))
    fresh["superseded_by"] = fresh["state"]
    others = others.assign(source_key=others[key])[list(fresh.columns)]
    return awards.with_states(concat([fresh, others]), key, today, spec.expiring_within_days)

"""Scope, match and compare: from a snapshot of the source to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconciliation.awards import without_contradictions
from reconciliation.desired import desired, waiting_for_person, with_siblings
from reconciliation.frame import arrow, concat, empty, pick, strings
from reconciliation.match import Matched, by_identity, by_rules, proposed
from reconciliation.plan import closing, reconcile
from reconciliation.ports import Store, Target
from reconciliation.scope import in_scope
from reconciliation.settle import Compared, positions
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec

from .steps import step

WHOLE = 0.2
"""Share of the entity's rows from which on it is read whole: cheaper than so many look-ups."""


@step("reconcile")
def compare(spec: ProcessSpec, read: Snapshot, target: Target, store: Store, today: date) -> Compared:
    """The plan and everything that was decided on the way; nothing is written."""
    population = target.population(spec.entity)
    read = without_contradictions(spec.key, read) if spec.award_states else read
    inside = in_scope(read.frame, spec.scope, today)
    data, outside = pick(read.frame, inside), pick(read.frame, ~inside)
    matched, current, held = _matched(spec, data, target, store, population)
    employees: pa.Array | None = None
    if spec.person:
        users = _values(arrow(data[spec.person]))
        employees, waiting = waiting_for_person(spec, data, store.links("employees", users if len(users) < 5000 else None))
        held = [*held, waiting]
    wanted = desired(spec, data, matched.keys, employees)
    if not spec.match:
        current = _current(spec, wanted, target, population)
    wanted = with_siblings(spec, wanted, current.frame, today)
    columns = spec.columns()
    plan = reconcile(wanted, current.frame, spec.entity_key, columns, spec.compared(), may_create=current.complete)
    if spec.scope.leaves == "close":
        links = store.links(spec.entity, source_keys=strings(outside[spec.key]))
        leavers = target.read(spec.entity, columns, {spec.entity_key: strings(links["target_key"])}).frame
        plan = closing(plan, leavers, spec.entity_key, columns, dict(spec.scope.closed))
    pairs = positions(data, spec.key, wanted, spec.entity_key)
    return Compared(read, arrow(outside[spec.key]), pairs, concat(held), matched.links, plan, population)


def _matched(
    spec: ProcessSpec, data: pd.DataFrame, target: Target, store: Store, population: int
) -> tuple[Matched, Snapshot, list[pd.DataFrame]]:
    if not spec.match:
        found = by_identity(data, spec.key)
        return found, Snapshot(empty({})), [found.held]
    links = store.links(spec.entity, source_keys=strings(data[spec.key]))
    asked: dict[str, pa.Array] = {rule.target: arrow(data[rule.source]) for rule in spec.match}
    suggested = proposed(data, spec.key, spec.natural_key)
    asked[spec.entity_key] = pa.concat_arrays([suggested, arrow(links["target_key"])])
    current = _look_up(spec, spec.columns(), asked, target, population, len(data))
    taken = pa.concat_arrays([suggested, arrow(current.frame[spec.entity_key])])
    others = store.links(spec.entity, target_keys=_values(taken))
    every = concat([links, others]).drop_duplicates("source_key", ignore_index=True) if len(others) else links
    found = by_rules(data, spec.key, current.frame, spec.entity_key, every, spec.match, spec.natural_key)
    return found, current, [found.held]


def _current(spec: ProcessSpec, wanted: pd.DataFrame, target: Target, population: int) -> Snapshot:
    """The target's rows with the keys of ``wanted``, and for awards all rows of the holders concerned."""
    asked = {spec.entity_key: arrow(wanted[spec.entity_key])}
    if spec.award_states:
        asked["employee_id"] = arrow(wanted["employee_id"])
    return _look_up(spec, spec.columns(), asked, target, population, len(wanted))


def _look_up(
    spec: ProcessSpec, columns: Mapping[str, str], asked: Mapping[str, pa.Array], target: Target, population: int, rows: int
) -> Snapshot:
    if population == 0 or rows == 0:
        return Snapshot(empty({spec.entity_key: "text", **columns}))
    whole = rows > WHOLE * population
    return target.read(spec.entity, columns, None if whole else {name: _values(values) for name, values in asked.items()})


def _values(array: pa.Array) -> Sequence[str]:
    return [str(v) for v in pc.unique(array).drop_null().to_pylist()]

"""Scope, match and compare: from a snapshot of the source to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconciliation.awards import without_contradictions
from reconciliation.desired import desired, waiting_for_person, with_siblings
from reconciliation.frame import arrow, concat, empty, frame, pick, strings, true
from reconciliation.match import LINKS, Matched, by_identity, by_rules, linked, proposed
from reconciliation.plan import GONE, LEFT, because, closing, reconcile
from reconciliation.ports import Hashes, Marks, Store, Target
from reconciliation.scope import in_scope
from reconciliation.settle import Compared, positions
from reconciliation.snapshot import Snapshot, among, without
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN, Swept, revoked, rows_of

from .steps import step

WHOLE = 0.2
"""Share of the entity's rows from which on it is read whole: cheaper than so many look-ups."""


@step("reconcile")
def compare(spec: ProcessSpec, read: Snapshot, known: Hashes, marks: Marks, target: Target, store: Store, today: date) -> Compared:
    """The plan and everything that was decided on the way; nothing is written."""
    return _compare(spec, read, known, marks, target, store, today, None)


@step("reconcile")
def compare_all(spec: ProcessSpec, swept: Swept, known: Hashes, marks: Marks, target: Target, store: Store, today: date) -> Compared:
    """As :func:`compare`, for a whole feed against the whole entity: HR rows whose record is gone are seen too."""
    return _compare(spec, swept.read, known, marks, target, store, today, swept)


def _compare(
    spec: ProcessSpec, read: Snapshot, known: Hashes, marks: Marks, target: Target, store: Store, today: date, swept: Swept | None
) -> Compared:
    population = target.population(spec.entity)
    figures = {"read": read.read, "skipped": read.skipped, "duplicates": read.duplicates}
    read = without_contradictions(spec.key, read) if spec.award_states else read
    read, figures["discarded"] = without(read, marks.discarded)
    read, figures["resting"] = without(read, marks.resting)
    read, figures["held"] = without(read, marks.held)
    inside = in_scope(read.frame, spec.scope, today)
    data, outside = pick(read.frame, inside), pick(read.frame, ~inside)
    matched, current, held = _matched(spec, data, target, store, population, swept is not None)
    employees: pa.Array | None = None
    if spec.person:
        users = _values(arrow(data[spec.person]))
        employees, waiting = waiting_for_person(spec, data, store.links("employees", users if len(users) < 5000 else None))
        held = [*held, waiting]
    wanted = desired(spec, data, matched.keys, employees)
    key, columns = spec.entity_key, spec.columns()
    if not spec.match:
        current = _current(spec, wanted, target, population, swept is not None)
    gone = empty(ORIGIN)
    there = current.frame
    if swept is not None:
        origin = store.origin(spec)
        # A row that could not be read is no row that is gone: what HR itself has left out is not looked for.
        gone = rows_of(swept.gone, origin, there, key) if current.complete else gone
        figures["only_in_hr"] = _only_in_hr(there, key, origin, matched.keys)
        if spec.award_states and spec.scope.gone == "close":
            there = revoked(there, key, gone)
    wanted = with_siblings(spec, wanted, there, today)
    wanted = pick(wanted, ~true(pc.is_in(arrow(wanted[key]), value_set=arrow(gone["key"]))))
    plan = reconcile(wanted, current.frame, key, columns, spec.compared(), may_create=current.complete)
    pairs = positions(data, spec.key, wanted, key)
    unchanged_records = arrow(pairs["key"]).filter(pa.array(among(arrow(pairs["hash"]).to_numpy(), known)))
    plan = because(plan, unchanged_records, arrow(pairs["key"]))
    closed = dict(spec.scope.closed)
    links = store.links(spec.entity, source_keys=strings(outside[spec.key])) if spec.scope.leaves == "close" else empty(LINKS)
    if len(links):
        leavers = target.read(spec.entity, columns, {key: strings(links["target_key"])}).frame
        plan = closing(plan, leavers, key, columns, closed, LEFT)
    if len(gone) and spec.scope.gone == "close":
        rows = pick(current.frame, true(pc.is_in(arrow(current.frame[key]), value_set=arrow(gone["key"]))))
        plan = closing(plan, rows, key, columns, closed, GONE)
    left = frame(
        {
            "key": arrow(outside[spec.key]),
            "hash": arrow(outside["hash"]),
            "target_key": linked(arrow(outside[spec.key]), links),
        }
    )
    sorted_out = (gone, empty(ORIGIN)) if spec.scope.gone == "close" else (empty(ORIGIN), gone)
    held_rows = _with_hash(spec, concat(held), data)
    return Compared(read.rejected, left, pairs, held_rows, matched.links, *sorted_out, plan, population, figures)


def _with_hash(spec: ProcessSpec, held: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    place = pc.index_in(arrow(held["key"]), value_set=arrow(data[spec.key]))
    return held.assign(hash=frame({"hash": arrow(data["hash"]).take(place)})["hash"])


def _only_in_hr(target: pd.DataFrame, key: str, origin: pd.DataFrame, matched: pa.Array) -> int:
    """Rows of HR that no record was ever loaded into or is matched with."""
    ours = pa.concat_arrays([arrow(origin["key"]), matched.drop_null()])
    return int((~true(pc.is_in(arrow(target[key]), value_set=ours))).sum())


def _matched(
    spec: ProcessSpec, data: pd.DataFrame, target: Target, store: Store, population: int, all_rows: bool
) -> tuple[Matched, Snapshot, list[pd.DataFrame]]:
    if not spec.match:
        found = by_identity(data, spec.key)
        return found, Snapshot(empty({})), [found.held]
    links = store.links(spec.entity, source_keys=strings(data[spec.key]))
    asked: dict[str, pa.Array] = {rule.target: arrow(data[rule.source]) for rule in spec.match}
    suggested = proposed(data, spec.key, spec.natural_key)
    asked[spec.entity_key] = pa.concat_arrays([suggested, arrow(links["target_key"])])
    current = _look_up(spec, asked, target, population, len(data), all_rows)
    taken = pa.concat_arrays([suggested, arrow(current.frame[spec.entity_key])])
    others = store.links(spec.entity, target_keys=_values(taken))
    every = concat([links, others]).drop_duplicates("source_key", ignore_index=True) if len(others) else links
    found = by_rules(data, spec.key, current.frame, spec.entity_key, every, spec.match, spec.natural_key)
    return found, current, [found.held]


def _current(spec: ProcessSpec, wanted: pd.DataFrame, target: Target, population: int, all_rows: bool) -> Snapshot:
    """The target's rows with the keys of ``wanted``, and for awards all rows of the holders concerned."""
    asked = {spec.entity_key: arrow(wanted[spec.entity_key])}
    if spec.award_states:
        asked["employee_id"] = arrow(wanted["employee_id"])
    return _look_up(spec, asked, target, population, len(wanted), all_rows)


def _look_up(spec: ProcessSpec, asked: Mapping[str, pa.Array], target: Target, population: int, rows: int, all_rows: bool) -> Snapshot:
    columns = spec.columns()
    if population == 0 or (rows == 0 and not all_rows):
        return Snapshot(empty({spec.entity_key: "text", **columns}))
    whole = all_rows or rows > WHOLE * population
    return target.read(spec.entity, columns, None if whole else {name: _values(values) for name, values in asked.items()})


def _values(array: pa.Array) -> Sequence[str]:
    return [str(v) for v in pc.unique(array).drop_null().to_pylist()]

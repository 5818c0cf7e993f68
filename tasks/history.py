"""The steps of a historical reconciliation: reads with checkpoints, both sides by path, one
comparison per partition."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from connectors.checkpoints import Folder
from connectors.hr.sql import columns_of
from reconciliation.ask import Ask, columns, custom
from reconciliation.classes import Evidence, classify, explain
from reconciliation.errors import Misconfigured, SourceFailed, TargetFailed
from reconciliation.frame import ARROW, arrow, concat, empty, frame, pick, strings, true
from reconciliation.inquiry import Inquiry, asked_about, business_day, in_period
from reconciliation.job_roles import assigned
from reconciliation.match import LINKS, linked
from reconciliation.ports import HrSystem, Source, Store, Target
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import seen
from reconciliation.versions import latest
from reconciliation.view import View, alike_of

from .extract import NOTHING, with_joined
from .steps import step

AGAIN = "The operator must run it again: the parts that were read are kept, and are not read again."


@step("read part", "read {name}")
def read_part(source: Source, spec: ProcessSpec, ask: Ask, folder: Folder, name: str) -> None:
    """Reads one part of the source and keeps it.

    Raises:
        SourceFailed: it could not be read to its end; what is missing from it would look gone.
    """
    requests = source.requests
    read = with_joined(
        source,
        spec,
        source.read(spec.feed, columns(spec), custom(spec), ask, NOTHING, spec.fingerprint()),
    )
    if not read.complete:
        raise SourceFailed(f"A part of {spec.feed} could not be read in full", AGAIN)
    keep(folder, name, read, source.requests - requests)


@step("read target", "read {name}")
def read_target(target: Target, spec: ProcessSpec, folder: Folder, name: str) -> None:
    """Reads all rows of the target and keeps them.

    Raises:
        TargetFailed: they could not be read in full.
    """
    moment = {spec.target_updated: "moment"} if spec.target_updated else {}
    read = target.read(spec.entity, {**spec.columns(), **moment}, None)
    if not read.complete:
        raise TargetFailed(f"{spec.target_side} could not be read in full", AGAIN)
    keep(folder, name, read, 0)


def keep(folder: Folder, name: str, read: Snapshot, requests: int) -> None:
    """Keeps a complete read; its note comes last, and says that it is there."""
    folder.keep(f"{name}.rows", read.frame)
    folder.keep(f"{name}.rejected", read.rejected)
    folder.note(name, {"read": read.read, "duplicates": read.duplicates, "requests": requests})


def kept(folder: Folder, name: str) -> Snapshot | None:
    """A read that was kept; ``None`` if there is none."""
    note = folder.noted(name)
    if note is None:
        return None
    return Snapshot(
        folder.frame(f"{name}.rows"),
        True,
        folder.frame(f"{name}.rejected"),
        note["read"],
        0,
        note["duplicates"],
    )


def doubted(
    spec: ProcessSpec,
    inquiry: Inquiry,
    read: Snapshot,
    rows: pd.DataFrame,
    origin: pd.DataFrame,
    chosen: pa.Array | None,
) -> tuple[str, ...]:
    """Keys of the source's records that rows of the target come from, that were asked about and
    that were not seen."""
    asked = asked_about(spec, inquiry, rows, chosen)
    day = business_day(spec)
    if inquiry.period and day:
        asked &= in_period(inquiry, arrow(rows[day[1]]))
    keys = arrow(rows[spec.entity_key]).filter(pa.array(asked))
    place = pc.index_in(keys, value_set=arrow(origin["key"]))
    records = arrow(origin["source_key"]).take(place)
    records = pc.coalesce(records, keys) if not spec.match else records.drop_null()
    unseen = records.filter(pa.array(~true(pc.is_in(records, value_set=seen(read, spec.key)))))
    return tuple(sorted({str(key) for key in unseen.to_pylist()}))


class Remembered:
    """A target of which one entity is as it was read, or as the ledger knows it from an earlier
    time. Nothing can be written."""

    def __init__(self, target: Target, entity: str, key: str, rows: Snapshot) -> None:
        self._target, self._entity, self._key, self._rows = target, entity, key, rows
        self.name, self.batch = target.name, target.batch

    def population(self, entity: str) -> int:
        """As :meth:`reconciliation.ports.Target.population`."""
        return len(self._rows.frame) if entity == self._entity else self._target.population(entity)

    def read(
        self, entity: str, columns: dict[str, str], lookups: dict[str, list[str]] | None
    ) -> Snapshot:
        """As :meth:`reconciliation.ports.Target.read`."""
        if entity != self._entity:
            return self._target.read(entity, columns, lookups)
        rows = self._rows.frame
        wanted = {
            name: arrow(rows[name]) if name in rows else arrow(empty({name: kind})[name])
            for name, kind in columns.items()
        }
        data = frame({self._key: arrow(rows[self._key]), **wanted})
        if lookups is not None:
            masks = [
                true(pc.is_in(arrow(rows[name]), value_set=pa.array(values, pa.string())))
                for name, values in lookups.items()
            ]
            data = pick(
                data, np.logical_or.reduce(masks) if masks else np.zeros(len(rows), dtype=bool)
            )
        return replace(self._rows, frame=data)


def as_known(spec: ProcessSpec, versions: pd.DataFrame) -> Snapshot:
    """Versions, one per key, as rows of the target; a column that the ledger never wrote is
    null."""
    columns = {
        n: arrow(versions[n]) if n in versions else pa.nulls(len(versions), ARROW[kind])
        for n, kind in spec.columns().items()
    }
    return Snapshot(frame({spec.entity_key: arrow(versions["key"]), **columns}))


def chosen_people(
    spec: ProcessSpec, inquiry: Inquiry, hr: HrSystem, people: pd.DataFrame
) -> pa.Array | None:
    """The people that were asked about, as the target of the process names them; ``None``: all.
    people: links, from accessplanit's side.

    Raises:
        Misconfigured: the HR system does not hold what tells them.
    """
    found: list[pa.Array] = []
    if inquiry.people:
        found.append(linked(pa.array(inquiry.people, pa.string()), people).drop_null())
    if inquiry.companies:
        rows = _hr_rows(hr, "employees", ("company_id",), "companies")
        found.append(
            _where(rows, "company_id", inquiry.companies, next(iter(columns_of("employees"))))
        )
    if inquiry.roles:
        rows = _hr_rows(
            hr, "assignments", ("employee_id", "job_role_id", "valid_from", "valid_to"), "job roles"
        )
        found.append(
            _where(assigned(rows, inquiry.as_of), "job_role_id", inquiry.roles, "employee_id")
        )
    if not found:
        return None
    employees = found[0]
    for other in found[1:]:
        employees = employees.filter(pa.array(true(pc.is_in(employees, value_set=other))))
    if spec.direction == "to_hr":
        return employees
    back = people.rename(columns={"source_key": "target_key", "target_key": "source_key"})[
        list(LINKS)
    ]
    return linked(employees, back).drop_null()


def _hr_rows(hr: HrSystem, entity: str, names: tuple[str, ...], what: str) -> pd.DataFrame:
    holds = hr.capabilities.entities.get(entity)
    kinds = holds.kinds() if holds else {}
    if not set(names) <= set(kinds):
        raise Misconfigured(
            f"{hr.capabilities.system} does not hold the {what} of people",
            "Leave that filter out, or name the people themselves.",
        )
    return hr.read(
        entity, {name: kinds[name] for name in names if name != next(iter(kinds))}, None
    ).frame


def _where(rows: pd.DataFrame, column: str, values: tuple[str, ...], key: str) -> pa.Array:
    return arrow(rows[key]).filter(
        pa.array(true(pc.is_in(arrow(rows[column]), value_set=pa.array(values, pa.string()))))
    )


# -- partitions ----------------------------------------------------------------------------------


def partition(folder: Folder, spec: ProcessSpec, view: View, rows: int) -> int:
    """Keeps both sides in partitions of about ``rows`` rows in which each key is as a whole;
    returns how many."""
    key = spec.entity_key
    number = max(1, -(-max(len(view.truth), len(view.there)) // rows))
    folder.note("spec", {"spec": spec.model_dump_json()})
    every = pc.unique(pa.concat_arrays([arrow(view.truth[key]), arrow(view.there[key])]))
    for name, data in (("truth", view.truth), ("there", view.there)):
        place = pc.index_in(arrow(data[key]), value_set=every).to_numpy() % number
        for part in range(number):
            folder.keep(f"{name}-{part}", pick(data, place == part))
    return number


@step("compare", "compare partition {part}")
def compare_partition(url: str, part: int) -> int:
    """Compares one partition, by path, and keeps its classes; returns its rows. Needs nothing but
    the folder."""
    folder = Folder(url)
    note = folder.noted("spec")
    if note is None:
        raise Misconfigured(
            f"There is no partition at {url}",
            "The data engineer must give all workers the same folder.",
        )
    spec = ProcessSpec.model_validate_json(note["spec"])
    found = classify(
        folder.frame(f"truth-{part}"),
        folder.frame(f"there-{part}"),
        spec.entity_key,
        spec.compared(),
        alike_of(spec),
    )
    folder.keep(f"classes-{part}", found)
    return len(found)


def classes(folder: Folder, parts: int) -> pd.DataFrame:
    """``classes.CLASSIFIED`` of all partitions."""
    return concat([folder.frame(f"classes-{part}") for part in range(parts)])


def explained(
    spec: ProcessSpec,
    view: View,
    classified: pd.DataFrame,
    written: pd.DataFrame,
    now: pd.DataFrame | None,
    gone: pa.Array,
    mark: datetime | None,
    began: datetime,
) -> pd.DataFrame:
    """The faults with their causes. written: versions that runs have written; now: the target's
    rows as they are, where another time was asked about. gone: keys of the target's rows whose
    record is no more. began: when reading began."""
    key, compared = spec.entity_key, spec.compared()
    later = pa.array([], pa.string())
    if now is not None:
        since = classify(
            view.truth,
            now,
            key,
            [n for n in compared if n not in ("state", "superseded_by")],
            alike_of(spec),
        )
        later = arrow(since["key"]).filter(pc.equal(arrow(since["class"]), "equal"))
    evidence = Evidence(
        mark, view.truth[["source_key", "moment"]], written, began, later, gone, view.theirs
    )
    return explain(classified, view.truth, view.there, key, compared, evidence)


def last_written(versions: pd.DataFrame) -> pd.DataFrame:
    """Of each key the last version that a run wrote."""
    return latest(
        pick(
            versions,
            true(pc.is_in(arrow(versions["how"]), value_set=pa.array(["written", "closed"]))),
        )
    )


def rows_from(gone: pa.Array, origin: pd.DataFrame, spec: ProcessSpec) -> pa.Array:
    """Keys of the target's rows that records which are gone were."""
    known = arrow(origin["key"]).filter(
        pa.array(true(pc.is_in(arrow(origin["source_key"]), value_set=gone)))
    )
    return known if spec.match else pa.concat_arrays([known, gone])


def origin_of(store: Store, spec: ProcessSpec) -> dict[str, str]:
    """The target's key -> the record that it comes from."""
    origin = store.origin(spec)
    return dict(
        zip(map(str, strings(origin["key"])), map(str, strings(origin["source_key"])), strict=True)
    )

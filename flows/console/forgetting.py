"""Forgetting one person: who they are, by all that names them, and every place that keeps something
of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from connectors.accessplanit.client import AccessplanitSource
from connectors.checkpoints import Folder
from connectors.hr import connectors
from connectors.report import forget as reports
from connectors.settings import Settings
from connectors.store.sql import SyncStore
from reconciliation.ask import Ask
from reconciliation.errors import HrsyncError, Misconfigured
from reconciliation.identifiers import identifier
from reconciliation.person import WHOSE, Person
from reconciliation.ports import NO_HASHES, HrSystem, LeavesTraces
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from tasks.blocks import accessplanit_settings, hr_settings
from tasks.connections import hr_system

from ..catalogue import PROCESSES

NAMED = ("forenames", "surname", "email", "employee_number")


@dataclass(frozen=True)
class Erasure:
    """What was erased, and what is left."""

    erased: Mapping[str, int]
    """Place -> rows."""
    left: tuple[str, ...]
    """What could not be erased, in words for the user."""


def similar_ids(settings: Settings, person: str) -> list[str]:
    """IDs of users like an ID that no user has: in another spelling, or of the employee who has
    this key in HR."""
    with closing(SyncStore(settings.store_url, create=False)) as store:
        return store.spelled(person)


def forget(settings: Settings, person: str) -> Erasure:
    """Erases an accessplanit user from the store, from what the HR connectors keep, and from
    reports and lists.

    Raises:
        Misconfigured: nothing is known of such a user. Nothing was touched.
        StalePlan: a run is at work. Nothing was touched.
        TargetFailed, CredentialsRefused, StoreFailed: not all could be read or erased; the same
            call may be made again.
    """
    with ExitStack() as opened:
        store = opened.enter_context(closing(SyncStore(settings.store_url, create=False)))
        systems = [opened.enter_context(closing(system)) for system in _systems(settings)]
        known = store.known_of(person)
        who, left = known or Person.of([person]), []
        for system in systems:
            # Looking takes nothing in and delivers nothing.
            seen = (
                opened.enter_context(system.untouched())
                if isinstance(system, LeavesTraces)
                else system
            )
            who, rows = _in_hr(seen, who)
            left += [
                f"{number:,} rows of {entity} in {system.name}: erase them there"
                for entity, number in rows.items()
                if number
            ]
        if known is None and not left:
            raise Misconfigured(
                "Nothing is known of a user with this ID, and nothing was erased",
                "Look the exact ID up in accessplanit.",
            )
        more, there = _in_accessplanit(settings, store, person)
        who |= more
        store.forgettable()
        own = [system.forget(who) for system in systems]
        pages = reports.forget(Folder(settings.history_folder), who)
        erased = store.forget(
            person, sorted(who.ids | who.keys), datetime.now(UTC), sorted(who.values)
        )
        left = [*left, there, *(text for each in (*own, pages) for text in each.left)]
        if not store.scrub():
            left.append(
                "old pages of the sync store, which another program holds open: stop it, and "
                "compact the database (VACUUM)"
            )
    return Erasure(
        {
            **erased,
            "rows of HR connectors": sum(each.rows for each in own),
            "rows of reports and lists": pages.rows,
        },
        tuple(left),
    )


def _systems(settings: Settings) -> Iterator[HrSystem]:
    """The HR systems of the processes, and those that were once and have left files of theirs below
    the home folder."""
    chosen = {settings.system_of(name): name for name in PROCESSES}
    for process in chosen.values():
        yield hr_system(settings, process)
    for name, connector in connectors().items():
        if name not in {used for used, _ in chosen} and any(
            (settings.home / file).exists() for file in connector.keeps
        ):
            yield connector.open(hr_settings(settings, name, ""), settings.home)


def _feeds_of_people() -> Iterator[ProcessSpec]:
    """A process for each feed of accessplanit whose records belong to people."""
    specs = [chosen.scoped() for chosen in PROCESSES.values()]
    to_hr = [spec for spec in specs if spec.person and spec.direction == "to_hr"]
    yield from {(spec.feed, spec.person): spec for spec in to_hr}.values()


def _keys_of(source: AccessplanitSource, spec: ProcessSpec, person: str) -> set[str]:
    """Keys of a person's records, also of those that cannot be read."""
    ask = Ask(keys=(person,), by=spec.person, skip_known=False)
    found = source.read(spec.feed, [spec.key, str(spec.person)], (), ask, NO_HASHES, "0")
    return {str(key) for key in [*found.frame[spec.key], *found.rejected["key"].dropna()]}


def _in_accessplanit(settings: Settings, store: SyncStore, person: str) -> tuple[Person, str]:
    """Keys of the person's records in accessplanit, which the store may know though HR has never
    had them; and what to do there."""
    keys: set[str] = set()
    try:
        tenant = accessplanit_settings(settings)
        budget = store.budget(tenant.requests_per_hour, tenant.hour_seconds)
        with closing(AccessplanitSource(tenant, settings.dialect, budget)) as source:
            for spec in _feeds_of_people():
                keys |= _keys_of(source, spec, person)
    except HrsyncError as error:
        why = (
            f"accessplanit could not be asked for the user {person}: the store may know hashes "
            "of records that HR has never had"
        )
        return Person.of(), f"{why} ({error.what})"
    return (
        Person.of(keys=keys),
        f"the user {person} and {len(keys):,} records in accessplanit, if they are still there: "
        "erase them there",
    )


def _in_hr(system: HrSystem, who: Person) -> tuple[Person, dict[str, int]]:
    """The person with what an HR system tells of them, and how many rows of each entity are
    theirs."""
    counts: dict[str, int] = {}
    entities = system.capabilities.entities
    for entity in sorted(entities, key=lambda name: name != "employees"):
        holds = entities[entity]
        kinds = holds.kinds()
        asked = {
            name: sorted(getattr(who, whose))
            for name, whose in WHOSE.items()
            if name in kinds and getattr(who, whose)
        }
        if not asked:
            continue
        named = {name: kinds[name] for name in NAMED if name in kinds and entity == "employees"}
        found = system.read(entity, named, asked).frame
        keys = [str(key) for key in found[holds.key]]
        counts[entity] = len(keys)
        who |= Person.of(employees=keys) if entity == "employees" else Person.of(keys=keys)
        if entity == "employees" and keys:
            who |= Person.of(values=_theirs_alone(_values(found), system.read(entity, named), keys))
    return who, counts


def _theirs_alone(values: set[str], everybody: Snapshot, keys: list[str]) -> Iterator[str]:
    """Those of the values that nobody else in HR has, in any spelling, whether their rows can be
    read or not."""
    key = str(everybody.frame.columns[0])
    others = set(map(identifier, _values(everybody.frame[~everybody.frame[key].isin(keys)])))
    rejected = everybody.rejected
    unread = [
        str(raw)
        for raw in rejected.loc[
            rejected["key"].notna() & ~rejected["key"].isin(keys), "raw"
        ].dropna()
    ]
    for value in values:
        if identifier(value) not in others and not any(
            map(Person.of(values=[value]).mentioned, unread)
        ):
            yield value


def _values(employees: pd.DataFrame) -> set[str]:
    """E-mail addresses, numbers and whole names."""
    found = {
        str(value)
        for name in ("email", "employee_number")
        if name in employees
        for value in employees[name].dropna()
    }
    if {"forenames", "surname"} <= set(employees.columns):
        full = employees[["forenames", "surname"]].dropna()
        found |= {f"{first} {last}" for first, last in full.itertuples(index=False)}
        found |= {f"{last}, {first}" for first, last in full.itertuples(index=False)}
    return found

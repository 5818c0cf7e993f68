"""Erases one person: collects everything that identifies them, then erases it from every place that
keeps it."""

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
from reconciliation.errors import HrsyncError, WrongInput
from reconciliation.identifiers import identifier
from reconciliation.person import WHOSE, Person
from reconciliation.ports import NO_HASHES, HrSystem, LeavesTraces
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from tasks.blocks import accessplanit_settings, hr_settings
from tasks.connections import hr_system

from ..catalogue import PROCESSES

NAMED = ("forenames", "surname", "email", "employee_number")
"""Columns of HR's employees whose values may identify a person."""


@dataclass(frozen=True)
class Erasure:
    """The result of an erasure."""

    erased: Mapping[str, int]
    """Place -> number of rows erased there."""
    left: tuple[str, ...]
    """What was not erased, a sentence for each, for the user."""


def similar_ids(settings: Settings, person: str) -> list[str]:
    """Returns IDs of users to suggest for an ID that no user has: the same ID in another spelling,
    or the user who has this key in HR."""
    with closing(SyncStore(settings.store_url, create=False)) as store:
        return store.spelled(person)


def forget(settings: Settings, person: str) -> Erasure:
    """Erases an accessplanit user from the store, from the files of the HR connectors, and from
    reports and lists.

    Raises:
        WrongInput: nothing is known of such a user. Nothing was erased.
        StalePlan: a run is at work. Nothing was erased.
        TargetFailed, CredentialsRefused, StoreFailed: something could not be read or erased. The
            same call can be repeated.
    """
    with ExitStack() as stack:
        store = stack.enter_context(closing(SyncStore(settings.store_url, create=False)))
        systems = [stack.enter_context(closing(system)) for system in _systems(settings)]
        known = store.known_of(person)
        who, left = known or Person.of([person]), []
        for system in systems:
            # A system that changes when it is read is searched in a copy.
            searched = (
                stack.enter_context(system.untouched())
                if isinstance(system, LeavesTraces)
                else system
            )
            who, rows = _in_hr(searched, who)
            left += [
                f"{number:,} rows of {entity} in {system.name}: erase them there"
                for entity, number in rows.items()
                if number
            ]
        if known is None and not left:
            raise WrongInput(
                "Nothing is known of a user with this ID, and nothing was erased",
                "Look up the exact ID in accessplanit.",
            )
        records, in_accessplanit = _in_accessplanit(settings, store, person)
        who |= records
        # Fails if a run is at work, before anything is erased.
        store.forgettable()
        from_systems = [system.forget(who) for system in systems]
        from_reports = reports.forget(Folder(settings.history_folder), who)
        erased = store.forget(
            person, sorted(who.ids | who.keys), datetime.now(UTC), sorted(who.values)
        )
        left.append(in_accessplanit)
        left += [text for each in (*from_systems, from_reports) for text in each.left]
        if not store.scrub():
            left.append(
                "deleted data in free pages of the sync store, because another program has it "
                "open: stop that program, then compact the database (VACUUM)"
            )
    return Erasure(
        {
            **erased,
            "rows of HR connectors": sum(each.rows for each in from_systems),
            "rows of reports and lists": from_reports.rows,
        },
        tuple(left),
    )


def _systems(settings: Settings) -> Iterator[HrSystem]:
    """Yields the HR systems of the processes, and earlier ones that have left files in the home
    folder."""
    chosen = {settings.system_of(name): name for name in PROCESSES}
    for process in chosen.values():
        yield hr_system(settings, process)
    for name, connector in connectors().items():
        if name not in {used for used, _ in chosen} and any(
            (settings.home / file).exists() for file in connector.keeps
        ):
            yield connector.open(hr_settings(settings, name, ""), settings.home)


def _feeds_of_people() -> Iterator[ProcessSpec]:
    """Yields one process for each accessplanit feed whose records belong to people."""
    specs = [chosen.scoped() for chosen in PROCESSES.values()]
    to_hr = [spec for spec in specs if spec.person and spec.direction == "to_hr"]
    yield from {(spec.feed, spec.person): spec for spec in to_hr}.values()


def _keys_of(source: AccessplanitSource, spec: ProcessSpec, person: str) -> set[str]:
    """Returns the keys of a person's records, including records that cannot be decoded."""
    ask = Ask(keys=(person,), by=spec.person, skip_known=False)
    read = source.read(spec.feed, [spec.key, str(spec.person)], (), ask, NO_HASHES, "0")
    return {str(key) for key in [*read.frame[spec.key], *read.rejected["key"].dropna()]}


def _in_accessplanit(settings: Settings, store: SyncStore, person: str) -> tuple[Person, str]:
    """Returns the keys of the person's records in accessplanit, and a sentence about what to do
    there. The store may know records that HR has never had."""
    keys: set[str] = set()
    try:
        tenant = accessplanit_settings(settings)
        budget = store.budget(tenant.requests_per_hour, tenant.hour_seconds)
        with closing(AccessplanitSource(tenant, settings.dialect, budget)) as source:
            for spec in _feeds_of_people():
                keys |= _keys_of(source, spec, person)
    except HrsyncError as error:
        why = (
            f"the records of the user {person} in accessplanit could not be looked up: the store "
            "may still have hashes of records that HR has never had"
        )
        return Person.of(), f"{why} ({error.what})"
    return (
        Person.of(keys=keys),
        f"the user {person} and {len(keys):,} records in accessplanit, if they are still there: "
        "erase them there",
    )


def _in_hr(system: HrSystem, who: Person) -> tuple[Person, dict[str, int]]:
    """Searches an HR system for a person.

    Returns:
        The person with the keys and values that the system has for them; and entity -> number of
        their rows.
    """
    counts: dict[str, int] = {}
    entities = system.capabilities.entities
    for entity in sorted(entities, key=lambda name: name != "employees"):
        kinds = entities[entity].kinds()
        wanted = {
            name: sorted(getattr(who, part))
            for name, part in WHOSE.items()
            if name in kinds and getattr(who, part)
        }
        if not wanted:
            continue
        named = {name: kinds[name] for name in NAMED if name in kinds and entity == "employees"}
        rows = system.read(entity, named, wanted).frame
        keys = [str(key) for key in rows[entities[entity].key]]
        counts[entity] = len(keys)
        who |= Person.of(employees=keys) if entity == "employees" else Person.of(keys=keys)
        if entity == "employees" and keys:
            everybody = system.read(entity, named)
            who |= Person.of(values=_theirs_alone(_values(rows), everybody, keys))
    return who, counts


def _theirs_alone(values: set[str], everybody: Snapshot, keys: list[str]) -> Iterator[str]:
    """Yields the values that no other employee in HR has, in any spelling. Rows of others that
    cannot be decoded are searched, too.

    ``keys``: the person's own keys.
    """
    key = str(everybody.frame.columns[0])
    others = set(map(identifier, _values(everybody.frame[~everybody.frame[key].isin(keys)])))
    rejected = everybody.rejected
    of_others = rejected["key"].notna() & ~rejected["key"].isin(keys)
    undecoded = [str(raw) for raw in rejected.loc[of_others, "raw"].dropna()]
    for value in values:
        if identifier(value) not in others and not any(
            map(Person.of(values=[value]).mentioned, undecoded)
        ):
            yield value


def _values(employees: pd.DataFrame) -> set[str]:
    """Returns e-mail addresses, employee numbers and full names, also as "surname, forenames"."""
    values = {
        str(value)
        for name in ("email", "employee_number")
        if name in employees
        for value in employees[name].dropna()
    }
    if {"forenames", "surname"} <= set(employees.columns):
        full = employees[["forenames", "surname"]].dropna()
        values |= {f"{first} {last}" for first, last in full.itertuples(index=False)}
        values |= {f"{last}, {first}" for first, last in full.itertuples(index=False)}
    return values

"""What a process is, as frozen data."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .frame import Kind


class Frozen(BaseModel):
    """Frozen, and strict about its keys: a misspelt option is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldMap(Frozen):
    """One field on its way from the feed's column to the entity's column."""

    source: str
    target: str
    kind: Kind = "text"
    compare: bool = True
    """False: carried along when something else changes, never a reason to write (time stamps, copied names)."""


class Clause(Frozen):
    """One condition on a column of the feed.

    in: the value is one of ``values``, compared without case and spaces. after: the day lies after the run's day.
    """

    column: str
    op: Literal["in", "after"] = "in"
    values: tuple[str, ...] = ()
    when: Clause | None = None
    """Applies only to the rows that meet this other clause."""

    @model_validator(mode="after")
    def _has_values(self) -> Clause:
        if self.op == "in" and not self.values:
            raise ValueError(f"the filter on {self.column!r} names no value; leave the filter out to take all rows")
        return self


class Scope(Frozen):
    """Which rows are ours, and what becomes of an HR row whose source row has left the scope."""

    clauses: tuple[Clause, ...] = ()
    leaves: Literal["ignore", "close"] = "ignore"
    gone: Literal["report", "close"] = "report"
    """What becomes of an HR row whose source record a sweep has found gone."""
    closed: tuple[tuple[str, str], ...] = ()
    """What closing an HR row means: (column, value)."""


class MatchRule(Frozen):
    """An unlinked source row is the target row that has the same value; without case and surrounding space."""

    source: str
    target: str


class Limit(Frozen):
    """More than ``percent`` of the population AND more than ``absolute`` rows is too much."""

    percent: Annotated[float, Field(gt=0, le=100)]
    absolute: Annotated[int, Field(ge=0)]


class Guard(Frozen):
    """Limits per kind of change; ``None``: unlimited. ``population``: rows in the target from which on a share says something."""

    create: Limit | None = None
    update: Limit | None = Limit(percent=40, absolute=500)
    close: Limit | None = Limit(percent=5, absolute=20)
    population: int = 50


class ProcessSpec(Frozen):
    """One process: from which feed to which entity, with which fields, scope, match rules and guard.

    The feed's columns are named in ``connectors/accessplanit/feeds.py``, the entity's in the HR connector.
    """

    name: str
    title: str
    feed: str
    entity: str
    key: str = "id"
    """Column of the feed that identifies a record."""
    updated: str = "updated_at"
    """Column of the feed with the moment of the last change; a dialect without it makes every read a full one."""
    created: str = "created_at"
    """Column of the feed with the moment of creation: a sweep reads the feed in ranges of it."""
    entity_key: str
    fields: tuple[FieldMap, ...]
    custom: tuple[str, ...] = ()
    """Custom fields by their wire name (``CF_…``); together they fill the entity's ``custom`` column as JSON."""
    scope: Scope = Scope()
    match: tuple[MatchRule, ...] = ()
    """Empty: the source's key is the entity's key."""
    natural_key: str | None = None
    """Column of the feed whose value becomes the key of a new row in HR; without a value it is ``AP-`` and the key."""
    person: str | None = None
    """Column of the feed with the ID of the user the record belongs to; the record waits until that user is linked."""
    award_states: bool = False
    """The entity's ``state`` and ``superseded_by`` follow from the rows of one holder and award and from the day."""
    expiring_within_days: int = 90
    guard: Guard = Guard()
    breaker: Annotated[int, Field(ge=1)] = 50
    """So many changes that HR refuses in a row end the run: then it is not the rows that are bad."""
    overlap: timedelta = timedelta(hours=2)

    @model_validator(mode="after")
    def _columns_are_disjoint(self) -> ProcessSpec:
        targets = [f.target for f in self.fields]
        twice = sorted({t for t in targets if targets.count(t) > 1})
        if twice:
            raise ValueError(f"{self.name}: several fields are mapped to {twice}")
        if self.person and self.person not in [f.source for f in self.fields]:
            raise ValueError(f"{self.name}: {self.person!r} names the person and must be mapped")
        unmapped = sorted({rule.target for rule in self.match} - {*targets, self.entity_key})
        if unmapped:
            raise ValueError(f"{self.name}: rows are matched by {unmapped}, which no field is mapped to")
        if self.entity_key in targets:
            raise ValueError(f"{self.name}: {self.entity_key!r} identifies the row and cannot be a managed field")
        return self

    def columns(self) -> dict[str, str]:
        """The entity's managed columns, name -> kind, in order."""
        found: dict[str, str] = {}
        if self.person:
            found["employee_id"] = "text"
        found |= {f.target: f.kind for f in self.fields}
        if self.award_states:
            found |= {"state": "text", "superseded_by": "text"}
        if self.custom:
            found["custom"] = "text"
        return found

    @property
    def person_column(self) -> str | None:
        """The entity's column with the ID of the user a row belongs to; ``None`` where no row is a person's."""
        of_person = self.person or (self.key if self.match else None)
        return next((f.target for f in self.fields if f.source == of_person), None)

    def compared(self) -> list[str]:
        """The managed columns whose difference is a reason to write."""
        carried = {f.target for f in self.fields if not f.compare}
        return [name for name in self.columns() if name not in carried]

    def fingerprint(self) -> str:
        """Names this very process with this very scope and mapping: 16 hexadecimal digits.

        It seeds the hash of raw records and is part of the watermark's key, so that a changed mapping or scope looks
        at every record again. The title, guard, breaker and overlap change nothing that was loaded and are left out.
        """
        text = self.model_dump_json(exclude={"title", "guard", "breaker", "overlap"})
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

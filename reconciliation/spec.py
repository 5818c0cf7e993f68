"""What a process is, as frozen data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .frame import Kind

PEOPLE = {"to_hr": ("User", "id"), "from_hr": ("employees", "employee_id")}
"""Direction -> the feed of the source's people, and its key."""


class Frozen(BaseModel):
    """Frozen, and strict about its keys: a misspelt option is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values.

        Raises:
            ValueError: a name in ``update`` is unknown. pydantic would accept it in silence.
        """
        unknown = set(update or ()) - set(type(self).model_fields)
        if unknown:
            raise ValueError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)


class FieldMap(Frozen):
    """One field on its way from the feed's column to the entity's column."""

    source: str
    target: str
    kind: Kind = "text"
    compare: bool = True
    """False: carried along when something else changes, never a reason to write (time stamps,
    copied names)."""
    owner: Literal["source", "target", "newest"] = "source"
    """Whose value counts where both sides may change it (``ownership.py``)."""
    clears: bool = True
    """Whether an empty source value clears the target."""
    values: tuple[tuple[str, str], ...] = ()
    """Values of the source and what they are in the target, without regard to case and spaces."""
    strict: bool = False
    """A value that is not among ``values`` holds the row; otherwise it stays as it is."""
    alike: tuple[tuple[str, str], ...] = ()
    """Values of the target that say the same as another one: no reason to write."""
    instead: str | None = None
    """The feed's column that gives the value where ``source`` has none, for a new row."""


class Clause(Frozen):
    """One condition on a column of the feed."""

    column: str
    op: Literal["in", "not_in", "present", "after", "future"] = "in"
    """What must hold:

    - in: the value is one of ``values``, compared without case and spaces
    - not_in: the value is missing, or not in ``values``
    - present: there is a value
    - after: the day lies after the run's day
    - future: the moment lies after the run's
    """
    values: tuple[str, ...] = ()
    when: Clause | None = None
    """Applies only to the rows that meet this other clause."""

    @model_validator(mode="after")
    def _has_values(self) -> Clause:
        if self.op in ("in", "not_in") and not self.values:
            raise ValueError(
                f"the filter on {self.column!r} names no value; leave the filter out to take "
                "all rows"
            )
        return self


class Scope(Frozen):
    """Which rows are ours, and what becomes of a row of the target whose source row has left the
    scope."""

    clauses: tuple[Clause, ...] = ()
    leaves: Literal["ignore", "close", "follow"] = "ignore"
    """follow: a row that the target has goes on being updated, whatever its record has become."""
    closes: Clause | None = None
    """Of the rows out of scope only those that meet this are closed; the others are left alone."""
    gone: Literal["report", "close"] = "report"
    """What becomes of a row of the target whose source record a sweep has found gone."""
    closed: tuple[tuple[str, str], ...] = ()
    """What closing a row of the target means: (column, value); the value ``today`` is the run's
    day."""


class MatchRule(Frozen):
    """An unlinked source row is the target row that has the same value; without case and
    surrounding space.

    ``source`` is a column of the feed, ``target`` one of the entity. Without ``source`` it is the
    row that is to have the same values in all of ``together``, columns of the entity, and is not
    linked yet. only: (column, value) that such a row of the target must have.
    """

    source: str = ""
    target: str = ""
    together: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    weak: bool = False
    """The value may be shared or passed on (an e-mail address): it never overrules a stronger
    identifier that differs."""

    @model_validator(mode="after")
    def _either(self) -> MatchRule:
        if bool(self.source and self.target) == bool(self.together):
            raise ValueError("a rule has a source and a target, or columns that match together")
        return self


class Reference(Frozen):
    """A row waits until the row of another entity is there that its ``column`` names."""

    column: str
    entity: str
    key: str
    what: str


class AwardStates(Frozen):
    """The entity's ``state`` and ``superseded_by`` follow from the rows of one holder and award and
    from the day (``awards.py``)."""

    rule: Literal["award_states"] = "award_states"
    expiring_within_days: Annotated[int, Field(ge=0)] = 90


class CourseDecisions(Frozen):
    """The source's rows are decisions on course requests: held unless the request can still be
    decided (``decisions.py``)."""

    rule: Literal["course_decisions"] = "course_decisions"


class HeldByReason(Frozen):
    """A record whose ``column`` has a value is held, and that value is the reason
    (``desired.py``)."""

    rule: Literal["held_by_reason"] = "held_by_reason"
    column: str


class Join(Frozen):
    """Columns of another feed that belong to a record: those of the row with the same values in
    ``on`` (``run/feed.py``)."""

    rule: Literal["join"] = "join"
    feed: str
    on: tuple[tuple[str, str], ...]
    """(column of the feed, column of the joined feed); the first names the person."""
    columns: tuple[tuple[str, str], ...]
    """(column of the joined feed, name it gets)."""


Rule = Annotated[AwardStates | CourseDecisions | HeldByReason | Join, Field(discriminator="rule")]
"""What a process does beside mapping fields."""
AnyRule = TypeVar("AnyRule", AwardStates, CourseDecisions, HeldByReason, Join)


class Limit(Frozen):
    """More than ``percent`` of the population AND more than ``absolute`` rows is too much."""

    percent: Annotated[float, Field(gt=0, le=100)]
    absolute: Annotated[int, Field(ge=0)]


class Guard(Frozen):
    """Limits per kind of change (``guard.breaches``); ``None``: unlimited. ``population``: rows
    from which on a share says something."""

    create: Limit | None = None
    update: Limit | None = Limit(percent=40, absolute=500)
    close: Limit | None = Limit(percent=5, absolute=20)
    population: int = 50


class ProcessSpec(Frozen):
    """One process: from which feed to which entity, with which fields, scope, match rules and
    guard.

    accessplanit's columns are named in ``connectors/accessplanit/feeds.py``, those of HR's entities
    in the HR connector. From HR the feed is an entity of HR and the entity a module of
    accessplanit.
    """

    name: str
    title: str
    direction: Literal["to_hr", "from_hr"] = "to_hr"
    system: str = ""
    """The HR system that the process was narrowed to (``capabilities.narrowed``)."""
    opposite: str | None = None
    """The process of the other direction: what this one writes, that one looks at again."""
    pair: str | None = None
    """Names what the two directions have agreed on, and keeps them from running at the same
    time."""
    conflict: Literal["newest", "hold"] = "newest"
    """Of a field that the newest value owns and that both sides have changed since they agreed."""
    first: Literal["source", "target", "newest", "hold"] = "source"
    """Of such a field where nothing was agreed yet and both sides have a value."""
    feed: str
    entity: str
    key: str = "id"
    """Column of the feed that identifies a record."""
    updated: str | None = "updated_at"
    """Column of the feed with the moment of the last change; a dialect without it makes every read
    a full one."""
    created: str | None = "created_at"
    """Column of the feed with the moment of creation: a sweep reads the feed in ranges of it, and
    at once without one."""
    target_updated: str | None = None
    """Column of the entity with the moment of its last change, to tell the newest value."""
    entity_key: str
    fields: tuple[FieldMap, ...]
    custom: tuple[str, ...] = ()
    """Custom fields by their wire name (``CF_…``); together they fill the entity's ``custom``
    column as JSON."""
    scope: Scope = Scope()
    match: tuple[MatchRule, ...] = ()
    """Empty: the source's key is the entity's key."""
    natural_key: str | None = None
    """Column of the feed whose value becomes the key of a new row; without a value it is
    ``new_key`` and the key."""
    new_key: str = "AP-"
    """What precedes the source's key in the key of a new row. ``new:`` stands for a key that the
    target gives."""
    person: str | None = None
    """Column of the feed with the key of the person the record belongs to; it waits until that
    person is linked."""
    references: tuple[Reference, ...] = ()
    rules: tuple[Rule, ...] = ()
    """What the process does beside mapping fields; at most one rule of each class."""
    by_person: bool = False
    """The HR system finds a row by the person it belongs to, not by its key: set by
    ``capabilities.narrowed``."""
    guard: Guard = Guard()
    breaker: Annotated[int, Field(ge=1)] = 50
    """Abort after this many consecutive refusals: the target is failing, not the rows."""
    overlap: timedelta = timedelta(hours=2)

    @model_validator(mode="after")
    def _columns_are_disjoint(self) -> ProcessSpec:
        targets = [f.target for f in self.fields]
        owned = sorted({f.target for f in self.fields if f.owner != "source"})
        if owned and self.pair is None:
            raise ValueError(f"{self.name}: {owned} are owned by two sides, which needs a pair")
        twice = sorted({t for t in targets if targets.count(t) > 1})
        if twice:
            raise ValueError(f"{self.name}: several fields are mapped to {twice}")
        if (
            self.person
            and self.direction == "to_hr"
            and self.person not in [f.source for f in self.fields]
        ):
            raise ValueError(f"{self.name}: {self.person!r} names the person and must be mapped")
        ruled = {name for rule in self.match for name in (rule.target, *rule.together) if name}
        unmapped = sorted(ruled - {*self.columns(), self.entity_key})
        if unmapped:
            raise ValueError(
                f"{self.name}: rows are matched by {unmapped}, which no field is mapped to"
            )
        if self.scope.leaves == "close" and not self.match:
            raise ValueError(
                f"{self.name}: only rows that are linked can be closed when their record leaves "
                "the scope"
            )
        if self.entity_key in targets:
            raise ValueError(
                f"{self.name}: {self.entity_key!r} identifies the row and cannot be a managed field"
            )
        return self

    def columns(self) -> dict[str, str]:
        """The entity's managed columns, name -> kind, in order."""
        found: dict[str, str] = {}
        if self.person:
            found[self.holder] = "text"
        found |= {f.target: f.kind for f in self.fields}
        if self.rule(AwardStates):
            found |= {"state": "text", "superseded_by": "text"}
        if self.custom:
            found["custom"] = "text"
        return found

    def rule(self, wanted: type[AnyRule]) -> AnyRule | None:
        """The process's rule of this class, if it has one."""
        return next((rule for rule in self.rules if isinstance(rule, wanted)), None)

    @property
    def holder(self) -> str:
        """The entity's column with the person a row belongs to, if it belongs to one."""
        return "employee_id" if self.direction == "to_hr" else "user_id"

    @property
    def source_side(self) -> str:
        """The side that is read, for people."""
        return "accessplanit" if self.direction == "to_hr" else "HR"

    @property
    def target_side(self) -> str:
        """The side that is written, for people."""
        return "HR" if self.direction == "to_hr" else "accessplanit"

    @property
    def links(self) -> str:
        """The entity of HR under whose name the links of this process's records are kept."""
        return self.entity if self.direction == "to_hr" else self.feed

    @property
    def person_column(self) -> str | None:
        """The column of a plan's changes with the ID of the accessplanit user a row belongs to, if
        it is a person's."""
        if self.direction == "from_hr":
            return self.holder if self.person else "key" if self.match else None
        of_person = self.person or (self.key if self.match else None)
        named = next((f.target for f in self.fields if f.target == "accessplanit_user_id"), None)
        return next(
            (f.target for f in self.fields if of_person and f.source == of_person),
            self.holder if self.person else named,
        )

    def compared(self) -> list[str]:
        """The managed columns whose difference is a reason to write."""
        carried = {f.target for f in self.fields if not f.compare}
        return [name for name in self.columns() if name not in carried]

    def fingerprint(self) -> str:
        """Names this very process with this very scope and mapping: 16 hexadecimal digits.

        It seeds the hash of raw records and is part of the watermark's key, so that a changed
        mapping or scope looks at every record again. The title, guard, breaker and overlap change
        nothing that was loaded and are left out.
        """
        text = self.model_dump_json(exclude={"title", "guard", "breaker", "overlap"})
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

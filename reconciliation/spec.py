"""The definition of a process, as frozen data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .frame import Kind

PEOPLE = {"to_hr": ("User", "id"), "from_hr": ("employees", "employee_id")}
"""Direction -> (feed with the people of the source, its key column)."""


class Frozen(BaseModel):
    """Base class of frozen models. An unknown option, such as a misspelt one, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy with other values.

        Raises:
            ValueError: a name in ``update`` is unknown. pydantic itself would ignore that.
        """
        unknown = set(update or ()) - set(type(self).model_fields)
        if unknown:
            raise ValueError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)


class FieldMap(Frozen):
    """The mapping of one field from a column of the feed to a column of the entity."""

    source: str
    target: str
    kind: Kind = "text"
    compare: bool = True
    """Whether a difference is a reason to write. False: the value is only written along with other
    changes (time stamps, copied names)."""
    owner: Literal["source", "target", "newest"] = "source"
    """Whose value counts if both sides may change it (``ownership.py``)."""
    clears: bool = True
    """Whether an empty source value clears the target."""
    values: tuple[tuple[str, str], ...] = ()
    """Pairs (value in the source, value in the target). Case and spaces are ignored."""
    strict: bool = False
    """Whether a record whose value is not in ``values`` goes to quarantine. Otherwise its value is
    written unchanged."""
    alike: tuple[tuple[str, str], ...] = ()
    """Pairs of values of the target that mean the same. A difference between them is no reason to
    write."""
    instead: str | None = None
    """A column of the feed whose value is used for a new row if ``source`` is empty."""


class Clause(Frozen):
    """One condition on a column of the feed."""

    column: str
    op: Literal["in", "not_in", "present", "after", "future"] = "in"
    """What must hold:

    - in: the value is one of ``values``, ignoring case and spaces
    - not_in: the value is missing, or not in ``values``
    - present: there is a value
    - after: the day lies after the run's day
    - future: the moment lies after the start of the run
    """
    values: tuple[str, ...] = ()
    when: Clause | None = None
    """The clause applies only to records that meet this other clause. Other records pass."""

    @model_validator(mode="after")
    def _has_values(self) -> Clause:
        if self.op in ("in", "not_in") and not self.values:
            raise ValueError(
                f"the filter on {self.column!r} has no value; leave the filter out to load "
                "all records"
            )
        return self


class Scope(Frozen):
    """Which records belong to the process, and what happens to a row of the target when its record
    leaves the scope or is gone."""

    clauses: tuple[Clause, ...] = ()
    leaves: Literal["ignore", "close", "follow"] = "ignore"
    """What happens to a row whose record has left the scope: nothing, it is closed, or it is still
    updated (``follow``)."""
    closes: Clause | None = None
    """With ``leaves="close"``: only rows whose record meets this clause are closed. ``None``: all
    are."""
    gone: Literal["report", "close"] = "report"
    """What happens to a row whose record a sweep no longer finds: it is reported, or closed."""
    closed: tuple[tuple[str, str], ...] = ()
    """Pairs (column, value) that a closed row has. The value ``today`` stands for the run's day."""


class MatchRule(Frozen):
    """Matches an unlinked source row to the target row with the same value, ignoring case and
    surrounding space.

    A rule has either ``source`` and ``target``, or ``together``. With ``together`` the target row
    must not be linked yet.
    """

    source: str = ""
    """Column of the feed."""
    target: str = ""
    """Column of the entity."""
    together: tuple[str, ...] = ()
    """Columns of the entity that must all be equal, compared with the values to be written."""
    only: tuple[tuple[str, str], ...] = ()
    """Pairs (column, value) that the target row of a ``together`` rule must have."""
    weak: bool = False
    """Whether the value may be shared or reassigned (an e-mail address). A row that matches by a
    weak rule is not taken if another identifier differs."""

    @model_validator(mode="after")
    def _either(self) -> MatchRule:
        paired = bool(self.source)
        if paired != bool(self.target) or paired == bool(self.together):
            raise ValueError(
                "a match rule has either a source and a target, or columns that match together"
            )
        if self.only and not self.together:
            raise ValueError("'only' needs columns that match together")
        return self


class Reference(Frozen):
    """A row that refers to a row of another entity. It is written only once the target has that
    row."""

    column: str
    """Column with the key of the other row."""
    entity: str
    key: str
    """Key column of that entity."""
    what: str
    """What the other row is, in messages."""


class AwardStates(Frozen):
    """Computes the entity's columns ``state`` and ``superseded_by`` (``awards.py``). They follow
    from the day, and from all rows with the same holder and award."""

    rule: Literal["award_states"] = "award_states"
    expiring_within_days: Annotated[int, Field(ge=0)] = 90


class CourseDecisions(Frozen):
    """The source's rows are decisions on course requests. They are held if the request can no
    longer be decided (``decisions.py``)."""

    rule: Literal["course_decisions"] = "course_decisions"


class HeldByReason(Frozen):
    """Holds a record if ``column`` has a value; the value is the reason (``desired.py``)."""

    rule: Literal["held_by_reason"] = "held_by_reason"
    column: str


class Join(Frozen):
    """Adds columns of another feed to each record, from the row with the same values in ``on``
    (``run/feed.py``)."""

    rule: Literal["join"] = "join"
    feed: str
    on: tuple[tuple[str, str], ...]
    """Pairs (column of the feed, column of the joined feed). The first pair identifies the
    person."""
    columns: tuple[tuple[str, str], ...]
    """Pairs (column of the joined feed, its name in the record)."""


Rule = Annotated[AwardStates | CourseDecisions | HeldByReason | Join, Field(discriminator="rule")]
"""A rule of a process, in addition to its field mapping."""
AnyRule = TypeVar("AnyRule", AwardStates, CourseDecisions, HeldByReason, Join)


class Limit(Frozen):
    """A maximum number of changes. A plan exceeds it if it changes more than ``percent`` of the
    entity's rows and also more than ``absolute`` rows."""

    percent: Annotated[float, Field(gt=0, le=100)]
    absolute: Annotated[int, Field(ge=0)]


class Guard(Frozen):
    """Limits per kind of change (``guard.breaches``); ``None``: unlimited."""

    create: Limit | None = None
    update: Limit | None = Limit(percent=40, absolute=500)
    close: Limit | None = Limit(percent=5, absolute=20)
    population: int = 50
    """Percentages count only if the entity has at least this number of rows."""


class ProcessSpec(Frozen):
    """One process: its feed (source), entity (target), fields, scope, match rules and guard.

    A process reads a feed and writes an entity. To HR, the feed is one of accessplanit's and the
    entity is a table of HR. From HR, it is the other way round: the feed is a table of HR, and the
    entity is a module of accessplanit. Columns are defined in ``connectors/accessplanit/feeds.py``
    and ``connectors/hr/schema.py``.
    """

    name: str
    """Name of the process, as in ``HRSYNC_HR_OF`` and in the store."""
    title: str
    """Name of the process in messages."""
    direction: Literal["to_hr", "from_hr"] = "to_hr"
    system: str = ""
    """The HR system that the process was narrowed to (``capabilities.narrowed``)."""
    opposite: str | None = None
    """The process of the other direction. It later reads the records that this process writes."""
    pair: str | None = None
    """Name that the two directions have in common. They never run at the same time. The store keeps
    the values on which both sides agree under this name."""
    conflict: Literal["newest", "hold"] = "newest"
    """For fields with the owner ``newest``: what happens if both sides have changed the value since
    they agreed."""
    first: Literal["source", "target", "newest", "hold"] = "source"
    """For fields with the owner ``newest``: whose value counts if both sides have a value and have
    not agreed on one yet."""
    feed: str
    """The feed that is read."""
    entity: str
    """The entity that is written."""
    key: str = "id"
    """Column of the feed that identifies a record."""
    updated: str | None = "updated_at"
    """Column of the feed with the moment of the last change. Without it, every run reads
    everything."""
    created: str | None = "created_at"
    """Column of the feed with the moment of creation. A sweep reads the feed in ranges of this
    column; if it is ``None``, in one part."""
    target_updated: str | None = None
    """Column of the entity with the moment of its last change, to find the newest value."""
    entity_key: str
    """Column of the entity that identifies a row."""
    fields: tuple[FieldMap, ...]
    custom: tuple[str, ...] = ()
    """Custom fields by their wire name (``CF_…``); together they fill the entity's ``custom``
    column as JSON."""
    scope: Scope = Scope()
    match: tuple[MatchRule, ...] = ()
    """Rules that match records to rows. Without rules, the key of a record is also the key of its
    row."""
    natural_key: str | None = None
    """Column of the feed whose value becomes the key of a new row. If a record has no value there,
    the key is ``new_key`` followed by the record's key."""
    new_key: str = "AP-"
    """Prefix of the key of a new row. With the prefix ``match.PROVISIONAL`` ("new:") the key is
    provisional: the target gives the row another key."""
    person: str | None = None
    """Column of the feed with the key of the person that the record belongs to. The record waits
    until that person is linked."""
    references: tuple[Reference, ...] = ()
    """Rows of other entities that must exist first."""
    rules: tuple[Rule, ...] = ()
    """At most one rule of each class."""
    by_person: bool = False
    """Whether the HR system finds a row by its person instead of its key; set by
    ``capabilities.narrowed``."""
    guard: Guard = Guard()
    breaker: Annotated[int, Field(ge=1)] = 50
    """Number of refusals in a row after which a run stops, because the fault is probably with the
    target and not with the rows."""
    overlap: timedelta = timedelta(hours=2)
    """How far before the watermark a run begins to read (``watermark.window``)."""

    @model_validator(mode="after")
    def _each_column_has_one_source(self) -> ProcessSpec:
        targets = [f.target for f in self.fields] + list(self._computed())
        twice = sorted({t for t in targets if targets.count(t) > 1})
        if twice:
            raise ValueError(f"{self.name}: several fields are mapped to {', '.join(twice)}")
        if self.entity_key in targets:
            raise ValueError(
                f"{self.name}: {self.entity_key!r} identifies the row and cannot be a managed field"
            )
        return self

    @model_validator(mode="after")
    def _owners_need_a_pair(self) -> ProcessSpec:
        owned = sorted({f.target for f in self.fields if f.owner != "source"})
        if owned and self.pair is None:
            raise ValueError(
                f"{self.name}: only a process with a pair can have an owner other than 'source' "
                f"(fields: {', '.join(owned)})"
            )
        return self

    @model_validator(mode="after")
    def _needed_columns_are_mapped(self) -> ProcessSpec:
        sources = [f.source for f in self.fields]
        if self.person and self.direction == "to_hr" and self.person not in sources:
            raise ValueError(f"{self.name}: {self.person!r} names the person and must be mapped")
        matched = {name for rule in self.match for name in (rule.target, *rule.together) if name}
        unmapped = sorted(matched - {*self.columns(), self.entity_key})
        if unmapped:
            raise ValueError(
                f"{self.name}: a match rule uses {', '.join(unmapped)}, to which no field is mapped"
            )
        return self

    @model_validator(mode="after")
    def _closed_rows_can_be_told(self) -> ProcessSpec:
        if "close" in (self.scope.gone, self.scope.leaves) and not self.scope.closed:
            raise ValueError(
                f"{self.name}: a scope that closes rows needs 'closed', the values of a closed row"
            )
        unmapped = sorted({name for name, _ in self.scope.closed} - set(self.columns()))
        if unmapped:
            raise ValueError(
                f"{self.name}: 'closed' uses {', '.join(unmapped)}, to which no field is mapped"
            )
        return self

    @model_validator(mode="after")
    def _rules_fit_together(self) -> ProcessSpec:
        if self.scope.leaves == "close" and not self.match:
            raise ValueError(
                f"{self.name}: leaves='close' needs match rules, because only linked rows can be "
                "closed when their record leaves the scope"
            )
        classes = [type(rule) for rule in self.rules]
        if len(set(classes)) < len(classes):
            raise ValueError(f"{self.name}: a process has at most one rule of each class")
        return self

    def _computed(self) -> dict[str, str]:
        """Returns the managed columns that no field is mapped to, name -> kind: the person, the
        states of awards, and the custom fields as JSON."""
        names = [self.holder] if self.person else []
        names += ["state", "superseded_by"] if self.rule(AwardStates) else []
        names += ["custom"] if self.custom else []
        return dict.fromkeys(names, "text")

    def columns(self) -> dict[str, str]:
        """Returns the entity's managed columns, name -> kind, in order."""
        computed = self._computed()
        person = {self.holder: computed.pop(self.holder)} if self.person else {}
        return {**person, **{f.target: f.kind for f in self.fields}, **computed}

    def rule(self, wanted: type[AnyRule]) -> AnyRule | None:
        """Returns the process's rule of this class, if it has one."""
        return next((rule for rule in self.rules if isinstance(rule, wanted)), None)

    @property
    def holder(self) -> str:
        """Name of the entity's column with the person of a row, in entities that have one."""
        return "employee_id" if self.direction == "to_hr" else "user_id"

    @property
    def source_side(self) -> str:
        """Name of the side that is read, in messages."""
        return "accessplanit" if self.direction == "to_hr" else "HR"

    @property
    def target_side(self) -> str:
        """Name of the side that is written, in messages."""
        return "HR" if self.direction == "to_hr" else "accessplanit"

    @property
    def links(self) -> str:
        """The name under which the store keeps the links of this process: HR's entity, in both
        directions."""
        return self.entity if self.direction == "to_hr" else self.feed

    @property
    def person_column(self) -> str | None:
        """Name of the plan's column with the ID of the accessplanit user; ``None`` if rows do not
        belong to people."""
        if self.direction == "from_hr":
            if self.person:
                return self.holder
            return "key" if self.match else None
        of_person = self.person or (self.key if self.match else None)
        # If no field is mapped from the person, as in role_compliance, look for the usual name.
        return next((f.target for f in self.fields if f.source == of_person), None) or next(
            (f.target for f in self.fields if f.target == "accessplanit_user_id"), None
        )

    def compared(self) -> list[str]:
        """Returns the managed columns in which a difference is a reason to write."""
        carried = {f.target for f in self.fields if not f.compare}
        return [name for name in self.columns() if name not in carried]

    def fingerprint(self) -> str:
        """Returns 16 hexadecimal digits that identify this process with its scope and mapping.

        The fingerprint seeds the hash of raw records and is part of the watermark's key. After a
        change of the mapping or scope, every record is therefore read again. The title, guard,
        breaker and overlap are left out, because they do not affect what was loaded.
        """
        text = self.model_dump_json(exclude={"title", "guard", "breaker", "overlap"})
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

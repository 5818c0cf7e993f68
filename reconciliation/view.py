"""Two sides as of a day, ready to be held against each other: what is decided before any value is
compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .aligned import Alike, align
from .awards import states
from .classes import (
    AMBIGUOUS,
    BOTH,
    DIFFERS,
    EQUAL,
    EXPLAINED,
    MISSING,
    OUTSIDE,
    QUARANTINED,
    REMEDIES,
    UNLINKED,
    for_a_reason,
)
from .desired import WAITS
from .frame import (
    ARROW,
    arrow,
    concat,
    empty,
    folded,
    frame,
    is_among,
    pick,
    take,
    true,
    with_columns,
)
from .identifiers import identifiers
from .inquiry import Inquiry, asked_about, award_of, business_day, holder_of, in_period
from .match import linked
from .ownership import CONFLICT, Decided, canonical
from .plan import is_closed
from .snapshot import Snapshot
from .spec import ProcessSpec
from .sweep import ORIGIN
from .values import CUSTOM

OPEN = {"key": "text", "hash": "hash", "stage": "text", "reason": "text"}
"""Entries of the quarantine: stage as in ``settle.QUARANTINE``, or ``discarded`` by a person."""
MEND = "mend the record in the source, then: hrsync quarantine replay"
LOOK = "look at it: hrsync quarantine list"
DECIDE = "say which row it is: hrsync links list --held, hrsync links set"
NOTHING = "nothing"


@dataclass(frozen=True)
class Sighted:
    """Both sides, matched, before it is decided what is to change.

    read: what was read, without contradictions and what is not to be looked at now. everything,
    outside: of its rows those in scope, and the others. data: those that can be loaded. wanted:
    what the target is to hold of each by the source, with ``source_key`` and the target's key.
    decided: the same where both sides may have a say. current: the target's rows. keys: the
    target's key of each of ``data``, null where nobody knows it. links: those found now. held: the
    records that wait; ambiguous: those of which nobody knows which row they are.
    """

    read: Snapshot
    everything: pd.DataFrame
    outside: pd.DataFrame
    data: pd.DataFrame
    wanted: pd.DataFrame
    decided: Decided
    current: Snapshot
    keys: pa.Array
    links: pd.DataFrame
    held: pd.DataFrame
    ambiguous: pd.DataFrame
    figures: dict[str, int]
    contested: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Keys of target rows that an ambiguous record may be."""


@dataclass(frozen=True)
class Background:
    """What is known beside the two sides. present: the tenant's day, or that of the moment of
    knowledge. origin: ``sweep.ORIGIN``.

    open: :data:`OPEN`. people: links of the people from the source's side. chosen: the employees
    that were asked about, all if ``None``. then: of records that have changed since the day the
    version that was true on it, by the target's key.
    """

    present: date
    origin: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    open: pd.DataFrame = field(default_factory=lambda: empty(OPEN))
    people: pd.DataFrame = field(
        default_factory=lambda: empty({"source_key": "text", "target_key": "text"})
    )
    chosen: pa.Array | None = None
    then: pd.DataFrame | None = None


@dataclass(frozen=True)
class View:
    """truth: what the target should hold on the day, with ``source_key`` and ``moment`` (of the
    record's last change). there: what it holds. settled: ``classes.EXPLAINED`` of all that is not
    compared. theirs: keys whose target row is as both sides' rules want it.
    """

    truth: pd.DataFrame
    there: pd.DataFrame
    settled: pd.DataFrame
    theirs: pa.Array


def alike_of(spec: ProcessSpec) -> Alike:
    """What makes values of the target that say the same one."""
    return {
        f.target: partial(canonical, f)
        for f in spec.fields
        if f.alike or f.target.startswith(CUSTOM)
    }


def view(spec: ProcessSpec, inquiry: Inquiry, seen: Sighted, back: Background, zone: str) -> View:
    """What is to be compared, and all that is decided without. Pure; every record and row is in
    exactly one of the frames."""
    return _Viewing(spec, inquiry, seen, back, inquiry.end(zone)).view()


class _Viewing:
    def __init__(
        self, spec: ProcessSpec, inquiry: Inquiry, seen: Sighted, back: Background, end: datetime
    ) -> None:
        self.spec, self.inquiry, self.seen, self.back, self.end = spec, inquiry, seen, back, end
        self.key = spec.entity_key
        self.there = seen.current.frame
        # Only a look back leaves out what came later; as of today a run loads it, whatever its
        # date.
        self.past = inquiry.as_of < back.present
        # Which row of the target a record is, as far as anybody knows.
        known = back.origin
        found = frame({"source_key": arrow(seen.data[spec.key]), "key": seen.keys})
        known = concat([known[list(ORIGIN)], pick(found, np.asarray(pc.is_valid(seen.keys)))])
        if not spec.match:
            every = pa.concat_arrays(
                [arrow(seen.read.frame[spec.key]), arrow(seen.read.rejected["key"]).drop_null()]
            )
            known = concat([known, frame({"source_key": every, "key": every})])
        self.known = known.drop_duplicates("source_key", keep="last", ignore_index=True)

    def view(self) -> View:
        spec, key = self.spec, self.key
        truth = _by_the_source(spec, self.seen.wanted, self.seen.decided.wanted)
        unsettled = [*self._unreadable(), *self._held(), *self._decided_by_others()]
        waiting = concat([_none(), *unsettled])
        settled = [waiting, self._outside()]
        truth, there = self._then(truth, self.there)
        truth, there, later = self._later(truth, there)
        settled.append(later)
        taken = concat([_none(), *settled])
        truth = pick(truth, ~is_among(truth["source_key"], taken["source_key"]))
        settled.append(self._candidates())
        claimed = concat([_none(), *settled])
        # What is unreadable or held now, or was not asked about, still stands beside the others of
        # its group, as the target knows it.
        stays = is_among(there[key], waiting["key"])
        day = business_day(spec)
        if self.inquiry.period and day:
            stays |= ~is_among(there[key], truth[key]) & ~in_period(
                self.inquiry, arrow(there[day[1]])
            )
        beside = pick(there, stays)
        there = pick(there, ~is_among(there[key], claimed["key"]))
        if spec.award_states:
            truth, there = self._as_of_the_day(truth, there, beside)
        there, closed = self._closed(truth, there)
        there, foreign = self._foreign(truth, there)
        settled += [closed, foreign]
        moments = (
            self.seen.data[spec.updated]
            if spec.updated and spec.updated in self.seen.data
            else None
        )
        place = pc.index_in(arrow(truth["source_key"]), value_set=arrow(self.seen.data[spec.key]))
        when = (
            arrow(moments).take(place)
            if moments is not None
            else pa.nulls(len(truth), ARROW["moment"])
        )
        truth = with_columns(truth, {"moment": when})
        truth, there, rest = self._chosen(truth, there, concat([_none(), *settled]))
        return View(truth, there, rest, self._theirs(there))

    # -- what is decided before -------------------------------------------------------------------

    def _unreadable(self) -> list[pd.DataFrame]:
        rejected, lost = self.seen.read.rejected, self.seen.current.rejected
        keys = arrow(rejected["key"])
        bad = _settled(keys, self._rows(keys), QUARANTINED, _why(rejected), MEND)
        why = pc.binary_join_element_wise("unreadable in the target: ", _why(lost), "")
        return [
            bad,
            _settled(
                pa.nulls(len(lost), pa.string()),
                arrow(lost["key"]),
                QUARANTINED,
                why,
                "mend the row in the target",
            ),
        ]

    def _held(self) -> list[pd.DataFrame]:
        found = []
        ambiguous = self.seen.ambiguous
        found.append(
            _settled(
                arrow(ambiguous["key"]),
                self._rows(arrow(ambiguous["key"])),
                AMBIGUOUS,
                arrow(ambiguous["reason"]),
                DECIDE,
            )
        )
        held = concat([self.seen.held, self.seen.decided.held]).drop_duplicates(
            "key", ignore_index=True
        )
        reason = arrow(held["reason"])
        unlinked = true(pc.equal(reason, WAITS[self.spec.direction]))
        conflict = true(pc.equal(reason, CONFLICT))
        waits, clash, rest = (
            pick(held, unlinked),
            pick(held, conflict),
            pick(held, ~unlinked & ~conflict),
        )
        keys = arrow(waits["key"])
        rows = self._rows(keys)
        # What a run has met waits in quarantine; the target may have a row of somebody whose link
        # was undone since.
        aside = is_among(keys, self.back.open["key"]) | np.asarray(pc.is_valid(rows))
        for there, name in ((aside, QUARANTINED), (~aside, MISSING)):
            mask = pa.array(there)
            found.append(
                _settled(keys.filter(mask), rows.filter(mask), name, UNLINKED, REMEDIES[UNLINKED])
            )
        found.append(
            _settled(
                arrow(clash["key"]), self._rows(arrow(clash["key"])), DIFFERS, BOTH, REMEDIES[BOTH]
            )
        )
        found.append(
            _settled(
                arrow(rest["key"]), self._rows(arrow(rest["key"])), QUARANTINED, _why(rest), LOOK
            )
        )
        return found

    def _decided_by_others(self) -> list[pd.DataFrame]:
        """Records that the target has refused, or a person has discarded, exactly as they are
        now."""
        data, stage = self.seen.everything, arrow(self.back.open["stage"])
        entries = pick(
            self.back.open, true(pc.is_in(stage, value_set=pa.array(["failed", "discarded"])))
        )
        place = pc.index_in(arrow(entries["key"]), value_set=arrow(data[self.spec.key]))
        same = true(pc.equal(arrow(data["hash"]).take(place), arrow(entries["hash"])))
        entries = pick(entries, same).drop_duplicates("key", ignore_index=True)
        discarded = true(pc.equal(arrow(entries["stage"]), "discarded"))
        by_person, refused = pick(entries, discarded), pick(entries, ~discarded)
        why = pc.binary_join_element_wise("refused by the target: ", arrow(refused["reason"]), "")
        return [
            _settled(
                arrow(by_person["key"]),
                self._rows(arrow(by_person["key"])),
                QUARANTINED,
                "discarded by a person",
                NOTHING,
            ),
            _settled(
                arrow(refused["key"]), self._rows(arrow(refused["key"])), QUARANTINED, why, LOOK
            ),
        ]

    def _outside(self) -> pd.DataFrame:
        keys = arrow(self.seen.outside[self.spec.key])
        return _settled(keys, self._rows(keys), OUTSIDE, "not in the scope of the process", NOTHING)

    def _candidates(self) -> pd.DataFrame:
        """Rows of the target that an ambiguous record may be."""
        seen, found = self.seen, np.zeros(len(self.there), dtype=bool)
        who = pick(seen.data, is_among(seen.data[self.spec.key], seen.ambiguous["key"]))
        for rule in self.spec.match:
            if rule.source and len(who):
                values = identifiers(arrow(who[rule.source])).drop_null()
                found |= true(
                    pc.is_in(identifiers(arrow(self.there[rule.target])), value_set=values)
                )
        linked_ = is_among(self.there[self.key], self.known["key"])
        keys = arrow(self.there[self.key]).filter(pa.array(found & ~linked_))
        return _settled(
            pa.nulls(len(keys), pa.string()),
            keys,
            AMBIGUOUS,
            "several records may be this row",
            DECIDE,
        )

    # -- the day ----------------------------------------------------------------------------------

    def _then(self, truth: pd.DataFrame, there: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Of records that have changed since the day what was true on it, where the ledger
        knows."""
        data, updated = self.seen.data, self.spec.updated
        if self.back.then is None or updated not in data:
            return truth, there
        changed = true(pc.greater_equal(arrow(data[updated]), pa.scalar(self.end, ARROW["moment"])))
        keys = arrow(truth[self.key]).filter(
            pa.array(is_among(truth["source_key"], pick(data, changed)[self.spec.key]))
        )
        then = pick(self.back.then, is_among(self.back.then["key"], keys))
        truth = _replaced(truth, then, self.key, self.spec)
        return truth, there if self.inquiry.known_at else _replaced(
            there, then, self.key, self.spec
        )

    def _later(
        self, truth: pd.DataFrame, there: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Both without what was not yet so on the day, and that as out of scope."""
        if not self.past:
            return truth, there, _none()
        ours, theirs = self._after(truth), self._after(there)
        place = pc.index_in(arrow(truth[self.key]), value_set=arrow(there[self.key]))
        alone = np.asarray(pc.is_null(place))
        both = ours & (alone | _at(theirs, place))
        back = pc.index_in(arrow(there[self.key]), value_set=arrow(truth[self.key]))
        only = theirs & np.asarray(pc.is_null(back)) & ~is_among(there[self.key], self.known["key"])
        why = self._why_later(pick(truth, both), pick(truth, ~ours))
        gone = concat(
            [
                _settled(
                    arrow(truth["source_key"]).filter(pa.array(both)),
                    arrow(truth[self.key]).filter(pa.array(both)),
                    OUTSIDE,
                    why,
                    NOTHING,
                ),
                _settled(
                    pa.nulls(int(only.sum()), pa.string()),
                    arrow(there[self.key]).filter(pa.array(only)),
                    OUTSIDE,
                    "after the day",
                    NOTHING,
                ),
            ]
        )
        return truth, there, gone

    def _after(self, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows are of a time after the day: completed, or made, later."""
        made = np.zeros(len(rows), dtype=bool)
        if "source_created_at" in rows:
            made = true(
                pc.greater_equal(
                    arrow(rows["source_created_at"]), pa.scalar(self.end, ARROW["moment"])
                )
            )
        if not self.spec.award_states:
            return made
        done = true(pc.equal(folded(arrow(rows["status"])), "completed"))
        return np.where(
            done, true(pc.greater(arrow(rows["completed_on"]), pa.scalar(self.inquiry.as_of))), made
        )

    def _why_later(self, later: pd.DataFrame, before: pd.DataFrame) -> pa.Array:
        if not self.spec.award_states:
            return pa.array(["made after the day"] * len(later), pa.string())
        done = true(pc.equal(folded(arrow(later["status"])), "completed"))
        held = pick(before, true(pc.equal(folded(arrow(before["status"])), "completed")))
        again = true(pc.is_in(_group(self.spec, later), value_set=_group(self.spec, held)))
        names = np.select(
            [done & again, done],
            ["renewed after the day", "completed after the day"],
            "made after the day",
        )
        return pa.array(names, pa.string())

    def _as_of_the_day(
        self, truth: pd.DataFrame, there: pd.DataFrame, beside: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        columns = [self.key, *self.spec.columns()]
        fresh = with_columns(
            truth, {name: pa.nulls(len(truth), pa.string()) for name in ("state", "superseded_by")}
        )
        whole = self._stated(concat([fresh[columns], beside[columns]]))
        truth = with_columns(
            truth, {name: arrow(whole[name])[: len(truth)] for name in ("state", "superseded_by")}
        )
        # What the target itself says of the day can only be asked on that day; of another it
        # follows from its dates.
        return truth, self._stated(there) if self.past else there

    def _stated(self, rows: pd.DataFrame) -> pd.DataFrame:
        later = self._after(rows) if self.past else np.zeros(len(rows), dtype=bool)
        state, by = states(
            pick(rows, ~later), self.key, self.inquiry.as_of, self.spec.expiring_within_days
        )
        place = np.cumsum(~later) - 1
        mask = pa.array(np.where(later, -1, place), mask=later)
        return with_columns(rows, {"state": state.take(mask), "superseded_by": by.take(mask)})

    def _closed(
        self, truth: pd.DataFrame, there: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``there`` without the rows that are closed and whose record is no more: so it should
        be."""
        closed = {
            name: self.inquiry.as_of if value == "today" else value
            for name, value in self.spec.scope.closed
        }
        alone = ~is_among(there[self.key], truth[self.key])
        right = alone & is_closed(there, closed, alike_of(self.spec))
        keys = arrow(there[self.key]).filter(pa.array(right))
        return pick(there, ~right), _settled(
            pa.nulls(len(keys), pa.string()),
            keys,
            EQUAL,
            pa.nulls(len(keys), pa.string()),
            pa.nulls(len(keys), pa.string()),
        )

    def _foreign(
        self, truth: pd.DataFrame, there: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``there`` without what accessplanit has and HR never had: it has training data of its
        own."""
        if self.spec.direction == "to_hr":
            return there, _none()
        foreign = ~is_among(there[self.key], truth[self.key]) & ~is_among(
            there[self.key], self.known["key"]
        )
        keys = arrow(there[self.key]).filter(pa.array(foreign))
        return pick(there, ~foreign), _settled(
            pa.nulls(len(keys), pa.string()), keys, OUTSIDE, "not from the source", NOTHING
        )

    # -- which were asked about -------------------------------------------------------------------

    def _chosen(
        self, truth: pd.DataFrame, there: pd.DataFrame, settled: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """All three without the rows that were not asked about. Where nobody can tell, a row
        stays."""
        inquiry, chosen = self.inquiry, self.back.chosen
        keep = {
            "truth": np.ones(len(truth), dtype=bool),
            "there": np.ones(len(there), dtype=bool),
            "settled": np.ones(len(settled), dtype=bool),
        }
        frames = {"truth": truth, "there": there}
        data = concat([self.seen.everything, self.seen.outside])
        place = pc.index_in(arrow(settled["source_key"]), value_set=arrow(data[self.spec.key]))
        rows = pc.index_in(arrow(settled["key"]), value_set=arrow(self.there[self.key]))
        for name, each in frames.items():
            keep[name] &= asked_about(self.spec, inquiry, each, chosen)
        if chosen is not None:
            whose = arrow(self.there[holder_of(self.spec)]).take(rows)
            if self.spec.person:
                whose = pc.coalesce(
                    linked(arrow(data[self.spec.person]).take(place), self.back.people), whose
                )
            keep["settled"] &= is_among(whose, chosen) | np.asarray(pc.is_null(whose))
        award = award_of(self.spec)
        if inquiry.awards and award:
            of = pc.coalesce(
                arrow(data[award[0]]).take(place), arrow(self.there[award[1]]).take(rows)
            )
            keep["settled"] &= is_among(of, pa.array(inquiry.awards, pa.string())) | np.asarray(
                pc.is_null(of)
            )
        day = business_day(self.spec)
        if inquiry.period and day:
            inside = {
                name: in_period(inquiry, arrow(each[day[1]])) for name, each in frames.items()
            }
            # A record whose sides disagree about the very day is in the period if one of them is.
            keys = pa.concat_arrays(
                [
                    arrow(each[self.key]).filter(pa.array(inside[name]))
                    for name, each in frames.items()
                ]
            )
            for name, each in frames.items():
                keep[name] &= is_among(each[self.key], keys)
            when = arrow(data[day[0]]).take(place)
            when = pc.coalesce(when, arrow(self.there[day[1]]).cast(when.type).take(rows))
            keep["settled"] &= in_period(inquiry, when) | np.asarray(
                pc.and_(pc.is_null(place), pc.is_null(rows))
            )
        return (
            pick(truth, keep["truth"]),
            pick(there, keep["there"]),
            pick(settled, keep["settled"]),
        )

    def _theirs(self, there: pd.DataFrame) -> pa.Array:
        """Keys of rows that are as they are to be, though the source has another value: the
        target's counts."""
        if self.spec.pair is None:
            return pa.array([], pa.string())
        compared = [name for name in self.spec.compared() if name in self.seen.decided.wanted]
        found = align(self.seen.decided.wanted, there, self.key, compared, alike_of(self.spec))
        return take(arrow(self.seen.decided.wanted[self.key]), found.ours[~found.touched])

    def _rows(self, source_keys: pa.Array) -> pa.Array:
        """The target's key of records, where the target has the row."""
        place = pc.index_in(source_keys, value_set=arrow(self.known["source_key"]))
        keys = arrow(self.known["key"]).take(place)
        there = is_among(
            keys,
            pa.concat_arrays(
                [
                    arrow(self.there[self.key]),
                    arrow(self.seen.current.rejected["key"]).cast(pa.string()),
                ]
            ),
        )
        return pc.if_else(pa.array(there), keys, pa.scalar(None, pa.string()))


def _by_the_source(spec: ProcessSpec, wanted: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """``wanted`` by the source alone, whoever's value counts; but where it owns a field and no
    value erases nothing, none is the target's."""
    wanted = pick(wanted, is_among(wanted["source_key"], decided["source_key"]))
    place = pc.index_in(arrow(wanted["source_key"]), value_set=arrow(decided["source_key"]))
    silent = [f for f in spec.fields if f.owner == "source" and not f.erases]
    filled = {
        f.target: pc.coalesce(arrow(wanted[f.target]), arrow(decided[f.target]).take(place))
        for f in silent
    }
    return with_columns(wanted, filled)


def _replaced(rows: pd.DataFrame, then: pd.DataFrame, key: str, spec: ProcessSpec) -> pd.DataFrame:
    place = pc.index_in(arrow(rows[key]), value_set=arrow(then["key"]))
    old = np.asarray(pc.is_valid(place))
    names = [name for name in spec.columns() if name in then and name in rows]
    return with_columns(
        rows,
        {
            n: pc.if_else(
                pa.array(old), arrow(then[n]).cast(arrow(rows[n]).type).take(place), arrow(rows[n])
            )
            for n in names
        },
    )


def _group(spec: ProcessSpec, rows: pd.DataFrame) -> pa.Array:
    return pc.binary_join_element_wise(arrow(rows[spec.holder]), arrow(rows["award_id"]), "\0")


def _settled(
    source_keys: pa.Array, keys: pa.Array, name: str, cause: pa.Array | str, remedy: pa.Array | str
) -> pd.DataFrame:
    causes = pa.array([cause] * len(keys), pa.string()) if isinstance(cause, str) else cause
    remedies = pa.array([remedy] * len(keys), pa.string()) if isinstance(remedy, str) else remedy
    return for_a_reason(source_keys, keys, name, causes, remedies)


def _why(problems: pd.DataFrame) -> pa.Array:
    return pc.binary_join_element_wise(
        pc.fill_null(arrow(problems["field"]), ""), arrow(problems["reason"]), " "
    )


def _none() -> pd.DataFrame:
    return empty(EXPLAINED)


def _at(flags: np.ndarray[Any, Any], place: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if not len(flags):
        return np.zeros(len(place), dtype=bool)
    return np.asarray(flags[pc.fill_null(place, 0).to_numpy()] & np.asarray(pc.is_valid(place)))

"""Scope, match and compare: from a snapshot of the source to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconciliation.awards import is_due, without_contradictions
from reconciliation.decisions import COURSE_DATES, judged, undecidable
from reconciliation.desired import desired, for_new, in_doubt, waiting_for_person, with_siblings
from reconciliation.errors import Misconfigured
from reconciliation.frame import arrow, concat, empty, frame, pick, strings, true
from reconciliation.identifiers import identifiers, mentioned
from reconciliation.match import (
    HELD,
    LINKS,
    PROVISIONAL,
    Matched,
    by_identity,
    by_rules,
    held,
    linked,
    proposed,
)
from reconciliation.ownership import AGREED, Decided, closed_as, decide
from reconciliation.plan import (
    AWAY,
    GONE,
    LEFT,
    Plan,
    as_closes,
    because,
    closing,
    is_closed,
    leaving_out,
    mending,
    reconcile,
)
from reconciliation.ports import Hashes, Marks, Store, Target
from reconciliation.scope import in_scope, meets
from reconciliation.settle import UNREAD, Compared, positions
from reconciliation.snapshot import Snapshot, among, without
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN, Ended, Swept, revoked, rows_of
from reconciliation.view import Sighted, alike_of

from .steps import step
from .unreadable import awards_of_unreadable, people_of_unreadable

WHOLE = 0.2
"""Share of the entity's rows from which on it is read whole: cheaper than so many look-ups."""
SOON = timedelta(days=31)
"""A row that is given an end within these days counts as closed for the guard: nobody may look
again before that day."""
SOME = 5000
"""From so many keys on all links are read."""


@dataclass(frozen=True)
class Sides:
    """What a comparison looks at beside what was read: the target, the store, and when it is
    (``today``: the tenant's day)."""

    target: Target
    store: Store
    today: date
    now: datetime


@step("reconcile")
def compare(
    spec: ProcessSpec, read: Snapshot, known: Hashes, marks: Marks, sides: Sides, ended: Ended
) -> Compared:
    """The plan and everything that was decided on the way; nothing is written."""
    return _Comparison(spec, known, sides, ended, whole=False).of(read, marks)


@step("reconcile")
def compare_all(
    spec: ProcessSpec, swept: Swept, known: Hashes, marks: Marks, sides: Sides
) -> Compared:
    """As :func:`compare`, for a whole feed against the whole entity: rows of it whose record is
    gone are seen too."""
    return _Comparison(spec, known, sides, swept.ended, whole=True).of(swept.read, marks)


def sight(spec: ProcessSpec, read: Snapshot, sides: Sides) -> Sighted:
    """A whole feed beside the whole entity, whatever is in quarantine; nothing is written."""
    none = np.empty(0, dtype=np.int64)
    return _Comparison(spec, none, sides, Ended(), whole=True).sighted(
        read, Marks(none, none, none)
    )


class _Comparison:
    def __init__(
        self, spec: ProcessSpec, known: Hashes, sides: Sides, ended: Ended, *, whole: bool
    ) -> None:
        self.spec, self.known, self.whole = spec, known, whole
        self.target, self.store, self.today, self.now = (
            sides.target,
            sides.store,
            sides.today,
            sides.now,
        )
        self.columns = spec.columns()
        self.alike = alike_of(spec)
        self.closed = {
            name: self.today if value == "today" else value for name, value in spec.scope.closed
        }
        self.population = self.target.population(spec.entity)
        self.gone, self.away = ended.gone, ended.away
        self.origin = self.store.origin(spec) if whole or len(ended) else empty(ORIGIN)
        if len(self.gone) and not spec.match:
            # Where the record's key is the row's, a row that no run has made is known by it as
            # well.
            self.origin = concat(
                [self.origin, frame({"source_key": self.gone, "key": self.gone})]
            ).drop_duplicates(ignore_index=True)
        self.ended, self.due = self._rows_of(ended), self._due()

    def sighted(self, read: Snapshot, marks: Marks) -> Sighted:
        """The first half: scope, match, and whose value counts."""
        spec, key = self.spec, self.spec.entity_key
        figures = {"read": read.read, "skipped": read.skipped, "duplicates": read.duplicates}
        read = without_contradictions(spec.key, read) if spec.award_states else read
        read, figures["discarded"] = without(read, marks.discarded)
        read, figures["resting"] = without(read, marks.resting)
        read, figures["held"] = without(read, marks.held)
        read = replace(read, frame=self._spelled_as_linked(read.frame))
        data, outside = self._in_scope(read.frame)
        everything = data
        data, wanted, waits = self._wanted(data)
        matched, current = self._matched(data, wanted)
        wanted = wanted.assign(**{key: frame({key: matched.keys})[key]})
        wanted = pick(wanted, np.asarray(pc.is_valid(matched.keys)))
        current = current if current is not None else self._current(wanted)
        wanted = for_new(
            spec,
            wanted,
            data,
            ~true(pc.is_in(arrow(wanted[key]), value_set=arrow(current.frame[key]))),
        )
        decided = self._decided(data, wanted, current)
        return Sighted(
            read,
            everything,
            outside,
            data,
            wanted,
            decided,
            current,
            matched.keys,
            matched.links,
            waits,
            matched.held,
            figures,
            matched.contested,
        )

    def of(self, read: Snapshot, marks: Marks) -> Compared:
        """The whole: from what was read to the plan."""
        spec, key = self.spec, self.spec.entity_key
        seen = self.sighted(read, marks)
        data, outside, current, figures = seen.data, seen.outside, seen.current, seen.figures
        problems = [seen.held, seen.ambiguous, seen.decided.held]
        wanted, ended = self._lost(seen.decided.wanted, current, problems)
        if spec.decisions:
            cases = self._judged(data, wanted, current, seen.read.rejected)
            problems.append(undecidable(cases))
            done = wanted["source_key"].isin(cases.loc[cases["done"], "source_key"])
            ended = concat([ended, wanted[done]])
            wanted = wanted[~done & ~wanted["source_key"].isin(problems[-1]["key"])].reset_index(
                drop=True
            )
        # A row that could not be read is no row that is gone: what the target itself has left out
        # is not looked for.
        gone, lost, there = empty(ORIGIN), empty(ORIGIN), current.frame
        if self.whole:
            figures["only_in_target"] = _only_there(there, key, self.origin, seen.keys)
        if len(self.gone):
            gone = rows_of(self.gone, self.origin, there, key) if current.complete else gone
            lost = self._lost_on_both_sides(current)
            # Of two records that were merged one is gone: the row is that of the other one now.
            claimed = pa.concat_arrays([seen.keys.drop_null(), seen.contested])
            gone = gone[~gone["key"].isin(claimed.to_pylist())].reset_index(drop=True)
        away = rows_of(self.away, self.origin, there, key) if current.complete else empty(ORIGIN)
        ends = concat([away, gone]) if spec.scope.gone == "close" else empty(ORIGIN)
        if spec.award_states:
            there = revoked(there, key, ends)
            wanted, there = self._readable(wanted, there, current, problems)
        agreed = seen.decided.agreed[seen.decided.agreed["row"].isin(wanted[key])].reset_index(
            drop=True
        )
        wanted = with_siblings(spec, wanted, there, self.today, self._touched(wanted, there))
        wanted = pick(wanted, ~true(pc.is_in(arrow(wanted[key]), value_set=arrow(gone["key"]))))
        doubtful = self._doubtful(current, data, wanted)
        plan = reconcile(
            wanted,
            current.frame,
            key,
            self.columns,
            spec.compared(),
            doubtful=doubtful,
            alike=self.alike,
        )
        # accessplanit is sent single columns. HR is sent whole rows, which is safe where no column
        # of them is HR's.
        if (
            current.complete
            and not spec.decisions
            and (spec.direction == "from_hr" or spec.pair is None)
        ):
            ours = [f.target for f in spec.fields if f.compare and f.owner != "target"]
            unread = current.rejected[~current.rejected["key"].isin(current.frame[key])]
            plan = mending(plan, wanted, unread, key, self.columns, ours)
        pairs = positions(data, spec.key, concat([wanted, ended]), key)
        unchanged_records = arrow(pairs["key"]).filter(
            pa.array(among(arrow(pairs["hash"]).to_numpy(), self.known))
        )
        plan = because(plan, unchanged_records, arrow(pairs["key"]))
        plan, links, agreed = self._leavers(plan, outside, agreed)
        for keys, reason in ((gone["key"], GONE), (away["key"], AWAY)) if len(ends) else ():
            rows = current.frame[current.frame[key].isin(keys)].reset_index(drop=True)
            plan = closing(plan, rows, key, self.columns, self.closed, reason, self.alike)
        plan = as_closes(plan, self._soon(), self.alike) if self.closed else plan
        unfit = self.target.unfit(spec.entity, plan.changes)
        plan = replace(leaving_out(plan, arrow(unfit["key"])), salt=self.store.salt())
        left = frame(
            {
                "key": arrow(outside[spec.key]),
                "hash": arrow(outside["hash"]),
                "target_key": linked(arrow(outside[spec.key]), links),
            }
        )
        sorted_out = (gone, empty(ORIGIN)) if spec.scope.gone == "close" else (empty(ORIGIN), gone)
        held_rows = _with_hash(spec, concat([empty(HELD), *problems]), seen.everything)
        figures["answered_for"] = self._answered_for(plan, current, arrow(pairs["key"]))
        figures["loaded"] = len(self.origin)
        return Compared(
            seen.read.rejected,
            left,
            pairs,
            held_rows,
            seen.links,
            *sorted_out,
            unfit,
            agreed,
            plan,
            self.population,
            figures,
            lost,
            current.rejected[list(UNREAD)].reset_index(drop=True),
        )

    def _lost_on_both_sides(self, current: Snapshot) -> pd.DataFrame:
        """:data:`ORIGIN` of the records that are gone and of which the target has no row either,
        after all of it was read.

        A row of the target that cannot be read is there.
        """
        unread = current.rejected["key"]
        if not self.whole or not current.complete or unread.isna().any():
            return empty(ORIGIN)
        gone = pick(
            self.origin, true(pc.is_in(arrow(self.origin["source_key"]), value_set=self.gone))
        )
        there = pa.concat_arrays(
            [arrow(current.frame[self.spec.entity_key]), arrow(unread).cast(pa.string())]
        )
        return pick(gone, ~true(pc.is_in(arrow(gone["key"]), value_set=there)))

    # -- the source's rows ------------------------------------------------------------------------

    def _in_scope(self, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows that are ours, and the others."""
        inside = in_scope(data, self.spec.scope, self.today, self.now)
        if self.spec.scope.leaves == "follow" and not inside.all():
            keys = arrow(data[self.spec.key])
            others = keys.filter(pa.array(~inside))
            if self.spec.match:
                there = arrow(self._links(strings(others))["source_key"])
            else:
                there = arrow(
                    self._look_up({self.spec.entity_key: others}, {}, len(others)).frame[
                        self.spec.entity_key
                    ]
                )
            inside |= true(pc.is_in(keys, value_set=there))
        return pick(data, inside), pick(data, ~inside)

    def _wanted(self, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """The records that can be loaded, what the target should hold of each, and the records that
        must wait."""
        persons: pa.Array | None = None
        problems = []
        if self.spec.person:
            users = _values(arrow(data[self.spec.person]))
            people = self._links(users if len(users) < SOME else None, "employees")
            data, people = self._spelled(data, str(self.spec.person), people)
            persons, waiting = waiting_for_person(self.spec, data, people)
            problems.append(waiting)
        wanted, unmapped = desired(self.spec, data, persons)
        problems += [unmapped, in_doubt(self.spec, data)]
        for reference in self.spec.references:
            names = arrow(wanted[reference.column])
            there = self.target.read(reference.entity, {}, {reference.key: _values(names)}).frame
            missing = pc.and_(
                pc.is_valid(names),
                pc.invert(pc.is_in(names, value_set=arrow(there[reference.key]))),
            )
            why = f"waits until this {reference.what} is in {self.spec.target_side}"
            problems.append(
                held(arrow(wanted["source_key"]).filter(missing), reference.column, why)
            )
        # A record that waits for several things is held once.
        waits = concat([empty(HELD), *problems]).drop_duplicates("key", ignore_index=True)
        ready = ~true(pc.is_in(arrow(data[self.spec.key]), value_set=arrow(waits["key"])))
        return pick(data, ready), pick(wanted, ready), waits

    def _spelled_as_linked(self, data: pd.DataFrame) -> pd.DataFrame:
        """Records of people whose own key is linked in another spelling (``ANABER`` is ``anaber``),
        under that one."""
        key = self.spec.key
        if self.spec.links != "employees" or not self.spec.match or not len(data):
            return data
        spelled, _ = self._spelled(
            data, key, self._links(strings(data[key]) if len(data) < SOME else None)
        )
        # Two records that differ in spelling only are two: the rules decide.
        alone = ~spelled[key].duplicated(keep=False)
        return data.assign(**{key: spelled[key].where(alone, data[key])})

    def _spelled(
        self, data: pd.DataFrame, column: str, links: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``data`` with keys of people in ``column`` as the links spell them (``ALBIRT`` is
        ``albirt``), and links that cover them."""
        unknown = (data[column].notna() & ~data[column].isin(links["source_key"])).to_numpy(
            dtype=bool
        )
        if not unknown.any():
            return data, links
        every = self._links(None, "employees")
        spelt = every.assign(
            plain=frame({"plain": identifiers(arrow(every["source_key"]))})["plain"]
        ).drop_duplicates("plain", keep=False)
        place = pc.index_in(identifiers(arrow(data[column])), value_set=arrow(spelt["plain"]))
        known = pc.coalesce(arrow(spelt["source_key"]).take(place), arrow(data[column]))
        spelled = pc.if_else(pa.array(unknown), known, arrow(data[column]))
        return data.assign(**{column: frame({column: spelled})[column]}), every

    # -- the target's rows ------------------------------------------------------------------------

    def _matched(self, data: pd.DataFrame, wanted: pd.DataFrame) -> tuple[Matched, Snapshot | None]:
        spec = self.spec
        if not spec.match:
            return by_identity(data, spec.key), None
        links = self._links(strings(data[spec.key]))
        # Whoever is linked is known: only the others are looked for.
        unknown = ~true(pc.is_in(arrow(data[spec.key]), value_set=arrow(links["source_key"])))
        fresh = pick(data, unknown)
        suggested = (
            proposed(fresh, spec) if spec.new_key != PROVISIONAL else pa.array([], pa.string())
        )
        asked = asked_by_rules(spec, fresh, pick(wanted, unknown))
        known = [suggested, arrow(links["target_key"]), arrow(self.ended[spec.entity_key])]
        asked[spec.entity_key] = pa.concat_arrays(
            [*known, *([asked[spec.entity_key]] if spec.entity_key in asked else [])]
        )
        current = self._look_up(asked, self.columns, len(data) + len(self.ended))
        matched, current = self._by_rules(data, wanted, links, suggested, current)
        if (
            not self.whole
            and looks_up_to_the_letter(spec)
            and true(pc.starts_with(matched.keys, PROVISIONAL)).any()
        ):
            # Before somebody is made: in another spelling, they may be there.
            current = self._read(self.columns, None)
            matched, current = self._by_rules(data, wanted, links, suggested, current)
        return matched, current

    def _by_rules(
        self,
        data: pd.DataFrame,
        wanted: pd.DataFrame,
        links: pd.DataFrame,
        suggested: pa.Array,
        current: Snapshot,
    ) -> tuple[Matched, Snapshot]:
        links, lost = self._without_lost(links, current)
        current = self._with_those_of(data, wanted, lost, current)
        taken = pa.concat_arrays([suggested, arrow(current.frame[self.spec.entity_key])])
        others = self._links(target_keys=_values(taken))
        every = (
            concat([links, others]).drop_duplicates("source_key", ignore_index=True)
            if len(others)
            else links
        )
        return by_rules(self.spec, data, wanted, current.frame, every, self.gone, lost), current

    def _without_lost(
        self, links: pd.DataFrame, current: Snapshot
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``links`` whose rows the target has, or may have, and those whose rows it surely has no
        more."""
        if not current.complete or not any(rule.source for rule in self.spec.match):
            return links, links.iloc[:0]
        there = links["target_key"].isin(current.frame[self.spec.entity_key]) | links[
            "target_key"
        ].isin(current.rejected["key"])
        return links[there].reset_index(drop=True), links[~there].reset_index(drop=True)

    def _with_those_of(
        self, data: pd.DataFrame, wanted: pd.DataFrame, lost: pd.DataFrame, current: Snapshot
    ) -> Snapshot:
        """``current`` with the rows that may have taken the place of lost ones: HR has made a new
        row for the same person."""
        again = data[self.spec.key].isin(lost["source_key"]).to_numpy(dtype=bool)
        if not again.any() or self.whole:
            return current
        more = self._look_up(
            asked_by_rules(self.spec, pick(data, again), pick(wanted, again)),
            self.columns,
            int(again.sum()),
        )
        rows = concat([current.frame, more.frame]).drop_duplicates(
            self.spec.entity_key, ignore_index=True
        )
        return Snapshot(rows, more.complete, concat([current.rejected, more.rejected]))

    def _current(self, wanted: pd.DataFrame) -> Snapshot:
        """The target's rows with the keys of ``wanted``, and for awards all rows of the holders
        concerned: the present and the former."""
        key, holder = self.spec.entity_key, self.spec.holder
        names = [key, *([holder] if self.spec.award_states or self.spec.by_person else [])]
        beside = concat([self.ended, self.due])
        asked = {
            name: pa.concat_arrays([arrow(wanted[name]), arrow(beside[name])]) for name in names
        }
        current = self._look_up(asked, self.columns, len(wanted) + len(beside))
        former = self._moved(wanted, current.frame)
        former = former[~former[holder].isin(wanted[holder])] if len(former) else former
        if self.whole or not len(former):
            return current
        theirs = self._look_up({holder: arrow(former[holder])}, self.columns, len(former))
        rows = concat([current.frame, theirs.frame]).drop_duplicates(key, ignore_index=True)
        rejected = concat([current.rejected, theirs.rejected]).drop_duplicates(
            "key", ignore_index=True
        )
        return Snapshot(rows, current.complete and theirs.complete, rejected)

    def _touched(self, wanted: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
        """Rows of the target whose groups are looked at, beside the groups of ``wanted``.

        They are those whose records are gone or have moved to another award or person, and those
        that are due by the day; in a sweep all of ours.
        """
        ours = (
            there[there[self.spec.entity_key].isin(self.origin["key"])] if self.whole else there[:0]
        )
        found = concat(
            [
                each[[self.spec.entity_key, *self.columns]]
                for each in (self.ended, self.due, self._moved(wanted, there), ours)
            ]
        )
        return found.reset_index(drop=True)

    def _moved(self, wanted: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
        """Award rows of the target, as they are, whose records have moved to another award or
        person."""
        if not self.spec.award_states:
            return there[:0]
        key, group = self.spec.entity_key, [self.spec.holder, "award_id"]
        same = there.merge(wanted[[key, *group]], on=[key, *group])[key]
        return there[there[key].isin(wanted[key]) & ~there[key].isin(same)]

    def _due(self) -> pd.DataFrame:
        """Award rows of the target whose state the day may have changed since the last run, whether
        or not their records can be read.

        A sweep looks at all of them.
        """
        key, spec = self.spec.entity_key, self.spec
        if not spec.award_states or self.whole:
            return empty({key: "text", **self.columns})
        as_of = self.store.watermark(spec.name, spec.fingerprint()).as_of
        if as_of is None or as_of >= self.today:
            return empty({key: "text", **self.columns})
        dates = self.target.read(
            spec.entity, {name: self.columns[name] for name in ("completed_on", "expires_on")}, None
        ).frame
        keys = dates[is_due(dates, as_of, self.today, spec.expiring_within_days)][key]
        keys = keys[keys.isin(self.store.origin(spec)["key"])] if len(keys) else keys
        rows = self._look_up({key: arrow(keys)}, self.columns, len(keys)).frame
        return rows[rows[key].isin(keys)].reset_index(drop=True)

    def _rows_of(self, ended: Ended) -> pd.DataFrame:
        """The rows of records that have ended; after a whole read they are among the others.

        A system that finds rows by their person only leaves them to the next sweep.
        """
        key = self.spec.entity_key
        rows = rows_of(ended.keys(), self.origin, self.origin, "key")
        if self.whole or self.spec.by_person or not len(rows):
            return empty({key: "text", **self.columns})
        return self.target.read(
            self.spec.entity, self.columns, {key: _values(arrow(rows["key"]))}
        ).frame

    def _look_up(
        self, asked: Mapping[str, pa.Array], columns: Mapping[str, str], rows: int
    ) -> Snapshot:
        if self.population == 0 or (rows == 0 and not self.whole):
            return Snapshot(empty({self.spec.entity_key: "text", **self._with_moment(columns)}))
        whole = self.whole or rows > WHOLE * self.population
        return self._read(
            columns, None if whole else {name: _values(values) for name, values in asked.items()}
        )

    def _read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        found = self.target.read(self.spec.entity, self._with_moment(columns), lookups)
        if found.vanished and len(found.frame) > 1:
            names = ", ".join(f"{self.spec.entity}.{name}" for name in found.vanished)
            raise Misconfigured(
                f"{self.spec.target_side} does not show {names}, which {self.spec.name} needs; "
                "nothing was written",
                "Give the service user the right to see it, or take it out of the mapping.",
            )
        return found

    def _with_moment(self, columns: Mapping[str, str]) -> dict[str, str]:
        return {
            **columns,
            **(
                {self.spec.target_updated: "moment"} if self.spec.target_updated and columns else {}
            ),
        }

    def _links(
        self,
        source_keys: Sequence[str | None] | None = None,
        name: str | None = None,
        target_keys: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Links from the source's side of this process."""
        ours = None if source_keys is None else [str(k) for k in source_keys if k is not None]
        return links_of(self.store, self.spec, ours, target_keys, name)

    # -- what is to become of them ----------------------------------------------------------------

    def _decided(self, data: pd.DataFrame, wanted: pd.DataFrame, current: Snapshot) -> Decided:
        agreed = empty(AGREED)
        if self.spec.pair is not None:
            records = wanted[
                "source_key" if self.spec.direction == "to_hr" else self.spec.entity_key
            ]
            agreed = self.store.agreed(self.spec.pair, _values(arrow(records)))
        return decide(self.spec, data, wanted, current.frame, agreed)

    def _lost(
        self, wanted: pd.DataFrame, current: Snapshot, problems: list[pd.DataFrame]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``wanted`` without the rows that a target which gives keys has had and has no more, and
        those of them that have ended here too. They are not made again: somebody has removed them
        there, and who did must say so here."""
        keys = arrow(wanted[self.spec.entity_key])
        if self.spec.new_key != PROVISIONAL or not current.complete:
            return wanted, wanted.iloc[:0]
        known = pc.or_(
            pc.starts_with(keys, PROVISIONAL),
            pc.is_in(keys, value_set=arrow(current.frame[self.spec.entity_key])),
        )
        known = pc.or_(
            known, pc.is_in(keys, value_set=arrow(current.rejected["key"]).cast(pa.string()))
        )
        lost = pick(wanted, ~true(known))
        ended = (
            is_closed(lost, self.closed, self.alike)
            if self.closed
            else np.zeros(len(lost), dtype=bool)
        )
        why = f"was removed in {self.spec.target_side}"
        problems.append(held(arrow(lost["source_key"]).filter(pa.array(~ended)), "(row)", why))
        return pick(wanted, true(known)), pick(lost, ended)

    def _readable(
        self,
        wanted: pd.DataFrame,
        there: pd.DataFrame,
        current: Snapshot,
        problems: list[pd.DataFrame],
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The wanted award rows and the target's, without those of people of whom the target holds
        such an award that cannot be read.

        It may be the one that supersedes the others. Where the record of such a row is here, the
        row's content does not matter.
        """
        key, holder = self.spec.entity_key, self.spec.holder
        rejected = current.rejected[~current.rejected["key"].isin(wanted[key]).fillna(False)]
        unread = Snapshot(current.frame, current.complete, rejected)
        everybody = pd.concat([wanted[holder], there[holder]]).dropna().drop_duplicates()
        people = people_of_unreadable(self.target, self.spec.entity, unread, everybody)
        kinds = awards_of_unreadable(self.target, self.spec.entity, unread)

        def concerned(rows: pd.DataFrame) -> pd.Series:
            return rows[holder].isin(people) & (
                rows["award_id"].isin(kinds) if kinds is not None else True
            )

        why = (
            f"{self.spec.target_side} has such an award of this person that cannot be read; "
            "correct it there"
        )
        problems.append(held(arrow(wanted.loc[concerned(wanted), "source_key"]), holder, why))
        return wanted[~concerned(wanted)].reset_index(drop=True), there[
            ~concerned(there)
        ].reset_index(drop=True)

    def _judged(
        self, data: pd.DataFrame, wanted: pd.DataFrame, current: Snapshot, rejected: pd.DataFrame
    ) -> pd.DataFrame:
        """``decisions.judged`` for the decisions whose request can be read; the others are withheld
        from the plan."""
        key = self.spec.entity_key
        missing = ~wanted[key].isin(current.frame[key])
        doubtful = self._doubtful(current, data, wanted)
        unread = missing & wanted[key].isin(doubtful.to_pylist() if doubtful is not None else [])
        # A decision without its moment was taken, at the latest, when its row was written.
        moments = (
            data["decided_at"].fillna(data[self.spec.updated])
            if self.spec.updated in data
            else data["decided_at"]
        )
        taken = pd.DataFrame(
            {
                "source_key": data[self.spec.key],
                "decided_at": moments,
                "settled": among(data["hash"].to_numpy(), self.known),
            }
        )
        decisions = wanted[~unread].merge(taken, on="source_key", how="left")
        columns = {name: kind for name, kind in COURSE_DATES.items() if name != "id"}
        dates = self.target.read(
            "CourseDate", columns, {"id": _values(arrow(current.frame["course_date_id"]))}
        ).frame
        bad = {*self.store.open_keys(self.spec.name, "rejected"), *rejected["key"].dropna()} - {
            *data[self.spec.key]
        }
        unread = [str(each) for each in bad]
        theirs = self.target.read(self.spec.entity, self.columns, {key: unread}).frame
        delegates = concat(
            [rows[[key, *self.columns]] for rows in (current.frame, theirs)]
        ).drop_duplicates(key, ignore_index=True)
        return judged(
            decisions, delegates.rename(columns={key: "id"}), dates, key, self.now, unread
        )

    def _doubtful(
        self, current: Snapshot, data: pd.DataFrame, wanted: pd.DataFrame
    ) -> pa.Array | None:
        """Keys of rows that are not to be created: the target may have them, in a record that
        cannot be read."""
        keys = arrow(wanted[self.spec.entity_key])
        if not current.complete:
            return keys
        if not len(current.rejected):
            return None
        raws = strings(current.rejected["raw"])
        if None in raws:
            return keys
        is_mentioned = mentioned([str(raw) for raw in raws])
        marks = [arrow(data[rule.source]) for rule in self.spec.match if rule.source]
        place = pc.index_in(arrow(wanted["source_key"]), value_set=arrow(data[self.spec.key]))
        named = [values.take(place).to_pylist() for values in marks]
        named += [
            arrow(wanted[c]).to_pylist() for rule in self.spec.match for c in rule.together[:1]
        ]
        hit = [
            any(v is not None and is_mentioned(str(v)) for v in row)
            for row in zip(keys.to_pylist(), *named, strict=True)
        ]
        return keys.filter(pa.array(hit, pa.bool_()))

    def _soon(self) -> dict[str, str | date]:
        """What closing a row means for the guard: what is to end in a few days ends."""
        return {
            name: value if isinstance(value, str) else value + SOON
            for name, value in self.closed.items()
        }

    def _answered_for(self, plan: Plan, current: Snapshot, matched: pa.Array) -> int:
        """How many rows of the target are this process's: linked or loaded by it, or matched now,
        and not closed yet.

        What else the other system happens to hold says nothing about how much of ours a plan would
        change.
        """
        if not len(plan.before):
            return 0
        key = self.spec.entity_key
        origin = self.origin if self.whole else self.store.origin(self.spec)
        ours = pc.unique(
            pa.concat_arrays([arrow(origin["key"]), matched, arrow(plan.before["key"])])
        )
        if not self.closed:
            return len(ours)
        columns = {name: self.columns[name] for name in self.closed}
        rows = (
            current.frame
            if self.whole
            else self.target.read(self.spec.entity, columns, {key: _values(ours)}).frame
        )
        rows = pick(rows, true(pc.is_in(arrow(rows[key]), value_set=ours)))
        return int((~is_closed(rows, self.closed, self.alike)).sum())

    def _leavers(
        self, plan: Plan, outside: pd.DataFrame, agreed: pd.DataFrame
    ) -> tuple[Plan, pd.DataFrame, pd.DataFrame]:
        """``plan`` with the rows closed whose records have left the scope, the links of these, and
        what is agreed then."""
        spec = self.spec
        if spec.scope.leaves != "close":
            return plan, empty(LINKS), agreed
        if spec.scope.closes:
            outside = pick(outside, meets(outside, spec.scope.closes, self.today, self.now))
        links = self._links(strings(outside[spec.key]))
        if not len(links):
            return plan, links, agreed
        leavers = self.target.read(
            spec.entity, self.columns, {spec.entity_key: _values(arrow(links["target_key"]))}
        ).frame
        if spec.pair is not None:
            leaving = closed_as(spec, outside, links, self.closed)
            leavers = pick(leavers, ~leavers[spec.entity_key].isin(self._left_before(leaving)))
            agreed = concat([agreed, leaving])
        return (
            closing(plan, leavers, spec.entity_key, self.columns, self.closed, LEFT, self.alike),
            links,
            agreed,
        )

    def _left_before(self, leaving: pd.DataFrame) -> pd.Series:
        """Rows whose leaving was agreed earlier: if such a row is open, the other side has opened
        it again, and that is news."""
        known = self.store.agreed(str(self.spec.pair), _values(arrow(leaving["key"])))
        again = leaving.merge(known[["key", "field", "value"]], on=["key", "field", "value"])
        fields, agreed = leaving["row"].value_counts(), again["row"].value_counts()
        return pd.Series(agreed[agreed == fields.reindex(agreed.index)].index)


def asked_by_rules(
    spec: ProcessSpec, data: pd.DataFrame, wanted: pd.DataFrame
) -> dict[str, pa.Array]:
    """What to look up to find every row that a rule of ``spec`` could match: column of the entity
    -> values.

    Several rules may ask for one column. Of columns that match together the one with the most
    values narrows it down enough.
    """
    asked: dict[str, list[pa.Array]] = {}
    for rule in spec.match:
        if rule.together:
            name = max(rule.together, key=lambda column: wanted[column].nunique())
            asked.setdefault(name, []).append(arrow(wanted[name]))
        else:
            asked.setdefault(rule.target, []).append(arrow(data[rule.source]))
    return {name: pa.concat_arrays(values) for name, values in asked.items()}


def looks_up_to_the_letter(spec: ProcessSpec) -> bool:
    """Whether the target may miss a row that a rule would match: accessplanit compares to the
    letter."""
    return spec.direction == "from_hr" and any(rule.source for rule in spec.match)


def already_made(
    spec: ProcessSpec, creates: pd.DataFrame, target: Target, store: Store
) -> tuple[pd.DataFrame, list[str], bool]:
    """Which creates (changes of a plan) the target needs no more, by the process's own rules over
    what they would write.

    Returns:
        The rows that they would make a second time: ``key`` (of the create) and ``given`` (of the
            row).
        Keys of the creates that the rules hold now: the target has rows for them, and it is not
            clear which. Whether all could be read.
    """
    rules = [
        r
        for r in spec.match
        if (r.target in creates if r.source else set(r.together) <= set(creates.columns))
        or r.target == spec.entity_key
    ]
    if not len(creates) or not rules:
        return empty({"key": "text", "given": "text"}), [], True
    spec = spec.model_copy(update={"match": tuple(rules)})
    key = arrow(creates["key"])
    nothing = pa.nulls(len(creates), pa.string())
    said = {
        rule.source: arrow(creates[rule.target]) if rule.target in creates else nothing
        for rule in rules
        if rule.source
    }
    natural = {spec.natural_key: said.get(spec.natural_key, nothing)} if spec.natural_key else {}
    # The source's key: in HR it is among what would be written, in accessplanit the provisional key
    # names it.
    named = pa.array([str(each).removeprefix(PROVISIONAL) for each in strings(key)], pa.string())
    own = said.get(spec.key, nothing) if spec.direction == "to_hr" else nothing
    data = frame({**said, **natural, spec.key: pc.coalesce(own, named)})
    wanted = frame(
        {
            "source_key": key,
            **{name: arrow(creates[name]) for name in spec.columns() if name in creates},
        }
    )
    asked = {n: _values(v) for n, v in asked_by_rules(spec, data, wanted).items()}
    found = target.read(
        spec.entity, spec.columns(), None if looks_up_to_the_letter(spec) else asked
    )
    linked_there = links_of(store, spec, None, _values(arrow(found.frame[spec.entity_key])))
    matched = by_rules(spec, data, wanted, found.frame, linked_there)
    there = true(pc.is_in(matched.keys, value_set=arrow(found.frame[spec.entity_key])))
    # What these creates have made themselves is no news for the others of them, such as somebody
    # with the same mailbox.
    unclear = np.asarray(pc.is_null(matched.keys))
    others = found.frame[
        ~found.frame[spec.entity_key].isin(matched.keys.drop_null().to_pylist())
    ].reset_index(drop=True)
    again = by_rules(spec, pick(data, unclear), pick(wanted, unclear), others, linked_there)
    held_now = strings(key.filter(pa.array(unclear)).filter(pc.is_null(again.keys)))
    return (
        pick(frame({"key": key, "given": matched.keys}), there),
        [str(each) for each in held_now],
        found.complete,
    )


def links_of(
    store: Store,
    spec: ProcessSpec,
    source_keys: Sequence[str] | None,
    target_keys: Sequence[str] | None,
    name: str | None = None,
) -> pd.DataFrame:
    """Links from the source's side of a process."""
    name = name or spec.links
    if spec.direction == "to_hr":
        return store.links(name, source_keys=source_keys, target_keys=target_keys)
    found = store.links(name, source_keys=target_keys, target_keys=source_keys)
    return found.rename(columns={"source_key": "target_key", "target_key": "source_key"})[
        list(LINKS)
    ]


def _with_hash(spec: ProcessSpec, held: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    place = pc.index_in(arrow(held["key"]), value_set=arrow(data[spec.key]))
    return held.assign(hash=frame({"hash": arrow(data["hash"]).take(place)})["hash"])


def _only_there(target: pd.DataFrame, key: str, origin: pd.DataFrame, matched: pa.Array) -> int:
    """Rows of the target that no record was ever loaded into or is matched with."""
    ours = pa.concat_arrays([arrow(origin["key"]), matched.drop_null()])
    return int((~true(pc.is_in(arrow(target[key]), value_set=ours))).sum())


def _values(array: pa.Array) -> Sequence[str]:
    return [str(v) for v in pc.unique(array).drop_null().to_pylist()]

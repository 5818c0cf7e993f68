"""One run of one process, on the one ordered path that all take: ask, fetch, reconcile, guard,
load, record.

The steps are Prefect tasks; with ``plainly`` they run as the functions that they are, so that a
plan can be made without Prefect.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa

from connectors.settings import Settings
from reconciliation.ask import Ask, Moment, questions
from reconciliation.draft import Draft
from reconciliation.errors import (
    HrsyncError,
    Misconfigured,
    Skipped,
    StalePlan,
    StoreFailed,
    TargetFailed,
    UnsafePlan,
)
from reconciliation.frame import concat, pick, strings
from reconciliation.guard import breaches
from reconciliation.hints import Hint, suspects
from reconciliation.hints import asks as hinted
from reconciliation.match import PROVISIONAL
from reconciliation.plan import EDITED, Plan, moved
from reconciliation.ports import Batch, Outcome, Source, Store, Target
from reconciliation.receipts import done, found_out, of_landed
from reconciliation.report import RunReport
from reconciliation.settle import Compared, settle
from reconciliation.snapshot import Snapshot, merge, renewed
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import Ended, Swept, parts, verified
from reconciliation.watermark import Window, advance, window
from tasks.connections import Connections, previewed
from tasks.extract import NOTHING, extract
from tasks.load import load
from tasks.reconcile import Sides, already_made, compare, compare_all, links_of
from tasks.steps import discreet
from tasks.sweep import believed, moved_away, of_visible_people, sweep_part, verify

Mode = Literal["apply", "plan"]
PATIENCE = 600.0
"""Seconds for which an approved plan waits for another run of its process to end."""
REPAIR = "a repair waits for somebody to decide on it"
Caller = Callable[..., Any]


@dataclass(frozen=True)
class World:
    """The two sides and the store of one run. zone: the tenant's, for the day a state holds on.
    clock: tells UTC."""

    source: Source
    target: Target
    store: Store
    zone: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of(cls, opened: Connections, settings: Settings, spec: ProcessSpec) -> World:
        """The world of opened connections, seen in the direction of a process."""
        source, target = opened.ways(spec)
        return cls(source, target, opened.store, settings.dialect.zone)


@dataclass(frozen=True)
class Order:
    """What is wanted of one run.

    since: read records changed from this moment on (UTC if it has no offset), whatever the
    watermark. full: read everything. sweep: read everything, known or not, and look at all of HR.
    hinted: read only the records that hints name (any run reads these too). named: read only the
    records with these keys, and hear no hint. confirm: any plan waits for a person. approve: the
    digest of a kept plan; exactly that one is applied, and nothing is read from accessplanit. keep:
    in plan mode, keep the plan to be applied later. scheduled: when a schedule wanted this run.
    flow_run: Prefect's ID of the run, if Prefect can suspend it. patience: how long a plan past its
    guard waits for an approval.
    """

    mode: Mode = "apply"
    since: datetime | None = None
    full: bool = False
    sweep: bool = False
    hinted: bool = False
    named: tuple[str, ...] | None = None
    confirm: bool = False
    approve: str | None = None
    keep: bool = False
    scheduled: datetime | None = None
    flow_run: str | None = None
    patience: timedelta = timedelta(hours=24)


def guarded(draft: Draft) -> list[str]:
    """Why a person has to decide on a draft; empty if nobody has to."""
    compared, figures = draft.compared, draft.compared.figures
    return breaches(
        compared.plan.counts(),
        compared.population,
        draft.spec.guard,
        answered_for=figures.get("answered_for"),
        vanished=len(compared.gone),
        loaded=figures.get("loaded", 0),
        emptied=compared.plan.emptied(),
        silent=[f.target for f in draft.spec.fields if f.source in draft.silent],
        side=draft.spec.target_side,
    )


def in_prefect(step: Any, *args: Any) -> Any:
    """Calls a step as a Prefect task."""
    return step(*args)


def plainly(step: Any, *args: Any) -> Any:
    """Calls a step as the function it is."""
    return step.fn(*args)


def run_process(
    spec: ProcessSpec, world: World, order: Order, *, call: Caller = in_prefect
) -> tuple[RunReport, Plan]:
    """One run of one process.

    Returns its report and plan. In ``plan`` mode nothing is written to HR, the watermark or the
    quarantine; only a plan that the order keeps goes to the store.

    Raises:
        HrsyncError: the run cannot go on; it says what and who must act, and the next run loses
            nothing.
        Skipped: another run of the process is at work or has done this one's work, or a plan waits
            for its approval.
    """
    if order.mode == "plan":
        with previewed(world.source, world.target) as (source, target):
            looking = _Run(spec, replace(world, source=source, target=target), order, call)
            return looking.noted("plan", looking.preview)
    run = _Run(spec, world, order, call)
    # What a person has decided is not skipped for a run that happens to be at work, nor are hints
    # that came since it began.
    patient = order.approve or order.hinted
    with world.store.lease(spec.name, run.id, PATIENCE if patient else 0.0) as mine:
        if not mine:
            if patient:
                raise StoreFailed(
                    "Another run of this process has been at work for ten minutes",
                    "The operator must retry this run; the plan or the hints still wait.",
                )
            return run.noted(
                "apply", _skip("Nothing was done: another run of this process is at work")
            )
        if order.scheduled and world.store.covered(
            spec.name, spec.fingerprint(), order.scheduled, order.sweep
        ):
            return run.noted(
                "apply",
                _skip(
                    "Nothing was done: a run that began after this one was due has done its work"
                ),
            )
        # The two directions of a pair look at the same rows: one waits for the other.
        with (
            world.store.lease(spec.pair, run.id, PATIENCE)
            if spec.pair
            else nullcontext(True) as alone
        ):
            if not alone:
                raise StoreFailed(
                    "The run of the other direction has been at work for ten minutes",
                    "The operator must look at it; nothing was lost.",
                )
            if order.approve:
                return run.noted("approved", run.approved)
            return run.noted(run.mode(), run.apply)


def _skip(why: str) -> Callable[[], tuple[RunReport, Plan]]:
    def skip() -> tuple[RunReport, Plan]:
        raise Skipped(why, "No action needed.")

    return skip


class _Run:
    """One run on its way."""

    def __init__(self, spec: ProcessSpec, world: World, order: Order, call: Caller) -> None:
        self.spec, self.world, self.order, self.call = spec, world, order, call
        self.source, self.target, self.store = world.source, world.target, world.store
        self.id, self.now = uuid.uuid4().hex, world.clock()
        self.today = self.now.astimezone(ZoneInfo(world.zone)).date()

    def noted(
        self, mode: str, work: Callable[[], tuple[RunReport, Plan]]
    ) -> tuple[RunReport, Plan]:
        """``work``, with its beginning and, unless it has settled, its end in the store."""
        self.store.start(self.id, self.spec, mode, self.now, self.order.flow_run)
        try:
            return discreet(work)()
        except BaseException as error:
            # Only our own errors are known to hold no personal data.
            reason = str(error) if isinstance(error, HrsyncError) else type(error).__name__
            stopped = isinstance(error, UnsafePlan | StalePlan)
            outcome: Outcome = (
                "skipped" if isinstance(error, Skipped) else "stopped" if stopped else "failed"
            )
            self.store.finish(self.id, outcome, reason, self.world.clock())
            raise

    def sweeping(self) -> bool:
        """A sweep is wanted, or one was interrupted: then the next run takes it up, unless it is to
        read named records only."""
        return self.order.sweep or (
            self.order.named is None and self.store.sweeping_since(self.spec, self.now) is not None
        )

    def mode(self) -> str:
        """What kind of a run it is, for people."""
        if self.order.named is not None:
            return "repair"
        return "sweep" if self.sweeping() else "hinted" if self.order.hinted else "apply"

    # -- the three ways ---------------------------------------------------------------------------

    def preview(self) -> tuple[RunReport, Plan]:
        """Decides, and does nothing."""
        draft = self._draft(self.order.sweep)
        plan, report = draft.compared.plan, draft.report
        settled = settle(self.spec, draft.compared, done(plan.changes))
        report.outcomes.update(settled.outcomes)
        report.reexamined, report.reasons = settled.reexamined, settled.reasons
        if self.order.keep and len(plan.changes):
            self.store.keep_draft(draft, "made", self.now, None, self.now + self.order.patience)
        self.store.finish(self.id, "completed", None, self.world.clock())
        return report, plan

    def apply(self) -> tuple[RunReport, Plan]:
        """Decides and, if that is not past the guard, does it."""
        settled = self._settle_open_intents()
        draft = self._draft(self.sweeping())
        draft.report.settled = settled
        with _timed(draft.report, "guard"):
            self._guard(draft)
            self.store.keep_plan(draft.compared.plan, self.spec, self.now, self.id)
        return self._carry_out(draft)

    def approved(self) -> tuple[RunReport, Plan]:
        """Does what was decided earlier, exactly that, if HR is still as it was then."""
        digest = str(self.order.approve)
        settled = self._settle_open_intents()
        draft = self.store.draft(digest)
        if draft.spec.name != self.spec.name:
            raise Misconfigured(
                f"The plan {digest} is one of {draft.spec.name}",
                f"Apply it with that flow, not with {self.spec.name}.",
            )
        self.store.take_plan(digest, self.spec, self.id)
        spec, plan = draft.spec, draft.compared.plan
        current, others, complete = self._as_it_is(spec, plan, spec.columns())
        if not complete:
            raise TargetFailed(
                f"{spec.target_side} could not be read in full, so it is not known whether it "
                f"is still as the plan {digest} saw it",
                "Run again; nothing was written, and the plan still waits.",
            )
        # What an interrupted application has done already is as the plan wants it: that is not HR
        # moving.
        landed = of_landed(plan, current, spec.entity_key, spec.columns())
        changed = {
            *moved(plan, current, spec.entity_key, spec.columns()),
            *others,
            *self._linked_otherwise(draft),
        }
        changed = (changed - set(strings(landed["key"]))) | self._made_by_others(digest, current)
        if changed:
            self.store.close_plan(digest, "stale", self.id)
            raise StalePlan(
                f"{spec.target_side} has moved since the plan {digest} was made: {len(changed)} "
                "of its rows are no longer what it saw",
                "",
            )
        draft.report.mode, draft.report.started, draft.report.settled = (
            "approved",
            self.now,
            settled,
        )
        return self._carry_out(self._with_news(draft), landed)

    def _made_by_others(self, digest: str, current: pd.DataFrame) -> set[str]:
        """Keys of creates for which the target has a row by now, though nothing of the plan was
        ever sent."""
        if "given" not in current or self.store.begun(digest):
            return set()
        return {str(key) for key in current.loc[current["given"].notna(), self.spec.entity_key]}

    def _with_news(self, draft: Draft) -> Draft:
        """The draft without what was agreed when it was made, where something has been agreed since
        or before: that may be newer.

        What the plan writes itself is agreed with it: HR still holds what the plan saw.
        """
        agreed, pair = draft.compared.agreed, draft.spec.pair
        if pair is None or not len(agreed):
            return draft
        known = self.store.agreed(pair, strings(agreed["key"]))
        told = (
            agreed.merge(known[["key", "field"]], on=["key", "field"], how="left", indicator=True)[
                "_merge"
            ]
            .eq("both")
            .to_numpy()
        )
        keep = agreed["row"].isin(draft.compared.plan.changes["key"]).to_numpy(dtype=bool) | ~told
        return replace(
            draft, compared=replace(draft.compared, agreed=agreed[keep].reset_index(drop=True))
        )

    def _linked_otherwise(self, draft: Draft) -> list[str]:
        """Keys of rows that the plan would write, and whose record is linked to another row by now
        or whose row to another record."""
        spec, pairs = draft.spec, draft.compared.pairs
        if not spec.match:
            return []
        ours = pairs[pairs["key"].isin(draft.compared.plan.changes["key"])]
        links = links_of(self.store, spec, strings(ours["source_key"]), strings(ours["key"]))
        by_record = ours.merge(links, on="source_key")
        by_row = ours.merge(links, left_on="key", right_on="target_key", suffixes=("", "_linked"))
        elsewhere = by_record[by_record["key"] != by_record["target_key"]]["key"]
        taken = by_row[by_row["source_key"] != by_row["source_key_linked"]]["key"]
        return [str(key) for key in [*elsewhere, *taken]]

    def _as_it_is(
        self, spec: ProcessSpec, plan: Plan, columns: dict[str, str]
    ) -> tuple[pd.DataFrame, list[str], bool]:
        """The target's rows that a plan is about, keys of creates that another row makes needless,
        and whether all could be read.

        A row that the target was asked to make, and has given a key of its own, stands under the
        key that it was asked for by, with its own in the column ``given``: it is found by the rules
        by which any other row is found.
        """
        key = spec.entity_key
        creates = plan.changes[plan.changes["kind"] == "create"].reset_index(drop=True)
        current = self.target.read(spec.entity, columns, {key: strings(plan.changes["key"])})
        made, unclear, whole = already_made(spec, creates, self.target, self.store)
        rows = current.frame
        provisional = made[
            made["key"].str.startswith(PROVISIONAL).fillna(False) & ~made["key"].isin(rows[key])
        ]
        if len(provisional):
            there = self.target.read(
                spec.entity, columns, {key: strings(provisional["given"])}
            ).frame
            standing = there.merge(
                provisional, left_on=key, right_on="given", suffixes=("", "_asked")
            )
            standing = standing.assign(**{key: standing["key"]})[[key, *columns, "given"]]
            rows = concat(
                [rows.assign(given=pd.Series(pd.NA, rows.index, standing["given"].dtype)), standing]
            )
        others = made[~made["key"].isin(provisional["key"]) & (made["key"] != made["given"])]
        return rows, [*(str(name) for name in others["key"]), *unclear], current.complete and whole

    # -- the steps --------------------------------------------------------------------------------

    def _settle_open_intents(self) -> int:
        """Asks HR about changes that an interrupted run was about to send, and writes down what
        became of them."""
        rows = 0
        for intent, plan in self.store.open_intents(self.spec.name):
            columns = [name for name in plan.before.columns if name != "key"]
            kinds = {name: kind for name, kind in self.spec.columns().items() if name in columns}
            # Rows of somebody who was forgotten are empty, and keep the places of the others.
            asked = replace(
                plan, changes=pick(plan.changes, plan.changes["key"].notna().to_numpy(dtype=bool))
            )
            current, _, complete = self._as_it_is(self.spec, asked, kinds)
            if not complete:
                continue
            receipts = found_out(asked, current, self.spec.entity_key, kinds)
            self.store.receive(
                self.id, self.spec, Batch(intent, plan.changes, receipts), self.world.clock()
            )
            rows += len(asked.changes)
        return rows

    def _draft(self, sweep: bool) -> Draft:
        spec, store, order = self.spec, self.store, self.order
        hints = (
            store.hints(spec.name, self.now if order.mode == "apply" else None)
            if order.named is None
            else ()
        )
        if order.hinted and not hints and not sweep:
            raise Skipped(
                "Nothing was done: no hint waits that a run has not heard", "No action needed."
            )
        # A hint without a key says that something has changed, so that the window is read.
        only = order.named is not None or (
            order.hinted and not sweep and all(hint.key is not None for hint in hints)
        )
        mode = (
            "repair"
            if order.named is not None
            else "sweep"
            if sweep
            else "hinted"
            if order.hinted and order.mode == "apply"
            else order.mode
        )
        report = RunReport(spec.name, mode, self.source.name, self.now, hints=len(hints))
        requests = self.source.requests
        updated = self.source.updated_column(spec.feed, spec.updated)
        mark = store.watermark(spec.name, spec.fingerprint())
        since = (
            order.since.replace(tzinfo=UTC)
            if order.since and order.since.tzinfo is None
            else order.since
        )
        asked = Window(None) if sweep else window(mark, spec.overlap, since=since, full=order.full)
        known, marks = (
            store.known(spec.name),
            store.marks(spec.name, self.now, whole=sweep or order.full),
        )
        retried = () if sweep or only else tuple(store.retryable(spec.name, self.now))
        # No decision rests: a place that has become free goes to the earliest one that waits.
        waiting = () if sweep or not spec.decisions else tuple(store.open_keys(spec.name, "held"))
        marks = replace(marks, held=marks.held[:0]) if spec.decisions else marks
        began = self.now
        with _timed(report, "fetch"):
            if sweep:
                began, swept = self._swept(updated, hints)
                read = swept.read
            else:
                asks = (
                    []
                    if only
                    else questions(
                        spec,
                        asked,
                        mark,
                        Moment(self.today, self.now),
                        retried,
                        updated,
                        first=not len(known),
                    )
                )
                asks += hinted(spec, hints) if hints else []
                asks += [Ask(keys=order.named, skip_known=False)] if order.named is not None else []
                asks += [Ask(keys=waiting, skip_known=False)] if waiting else []
                read = self.call(extract, self.source, spec, asks, known)
            # A few chosen records say nothing about what fields the feed has.
            read = replace(read, appeared=(), vanished=()) if only else read
            self._needs(read)
            doubted = suspects(spec, hints) if order.named is None else order.named
            gone = verified(pa.array(doubted, pa.string()), read, read, spec.key)
            ended = (
                Ended()
                if sweep
                else self._ended(
                    of_visible_people(self.source, store, self.target, spec, gone), read
                )
            )
        with _timed(report, "reconcile"):
            inputs = (known, marks, Sides(self.target, store, self.today, self.now))
            compared: Compared = (
                self.call(compare_all, spec, swept, *inputs)
                if sweep
                else self.call(compare, spec, read, *inputs, ended)
            )
        keyless = set(compared.rejected["hash"][compared.rejected["key"].isna()])
        unseen = bool(keyless - store.known_bad(spec.name)) if keyless else False
        after = mark if only else advance(mark, read, updated, asked, began, self.today, unseen)
        report.read, report.complete, report.digest = read.read, read.complete, compared.plan.digest
        report.watermark_before, report.watermark_after = (
            mark.moment,
            mark.moment if order.mode == "plan" else after.moment,
        )
        report.requests = self.source.requests - requests
        if sweep:
            edited = int((compared.plan.changes["reason"] == EDITED).sum())
            report.sweep = {
                "parts": swept.parts,
                "parts taken up": swept.resumed,
                "gone": len(compared.gone) + len(compared.reported),
                f"only in {spec.target_side}": compared.figures["only_in_target"],
                f"changed in {spec.target_side}": edited,
            }
        looked_again = (
            (mark.waiting or asked.since is None) and read.complete and not unseen and not only
        )
        answered = {*strings(read.frame[spec.key]), *strings(read.rejected["key"])}
        silent = (
            tuple(key for key in dict.fromkeys((*retried, *waiting)) if key not in answered)
            if read.complete
            else ()
        )
        drift = (
            *((f"{spec.feed}.{n}", "appeared") for n in read.appeared),
            *((f"{spec.feed}.{n}", "vanished") for n in read.vanished),
        )
        seen = drift if read.read and not only else None
        heard = hints if read.complete else ()
        return Draft(
            spec,
            compared,
            mark,
            after,
            report,
            silent,
            looked_again,
            sweep and read.complete,
            seen,
            heard,
            read.silent,
        )

    def _swept(self, updated: str | None, hints: Sequence[Hint]) -> tuple[datetime, Swept]:
        """The whole feed, part by part; parts that an interrupted sweep has read are not read
        again, except what hints name."""
        spec, store, keep = self.spec, self.store, self.order.mode == "apply"
        earlier = store.sweeping_since(spec, self.now) if keep else None
        began = earlier or self.now
        reads: list[Snapshot] = []
        resumed = 0
        for part in parts(began.date(), spec.created):
            read = store.part(spec, part) if earlier and part else None
            resumed += read is not None
            if read is None:
                read = self.call(sweep_part, self.source, spec, part)
                if part and keep and read.complete and not read.vanished:
                    store.keep_part(spec, part, read, began, self.id)
            reads.append(read)
        whole = merge(reads, spec.key, updated)
        if resumed and hints:
            fresh = self.call(extract, self.source, spec, hinted(spec, hints), NOTHING)
            named = {
                *(hint.key for hint in hints if hint.feed == spec.feed and hint.key),
                *strings(fresh.frame[spec.key]),
            }
            whole = renewed(whole, spec.key, named, fresh, updated)
        whole, gone, known = self.call(verify, self.source, store, spec, whole)
        gone = believed(
            spec, whole, gone, of_visible_people(self.source, store, self.target, spec, gone)
        )
        gone = pa.concat_arrays([gone, known])
        return began, Swept(whole, self._ended(gone, whole), len(reads), resumed)

    def _ended(self, gone: pa.Array, read: Snapshot) -> Ended:
        return Ended(gone, moved_away(self.source, self.store, self.target, self.spec, read))

    def _needs(self, read: Snapshot) -> None:
        """A field that not one of several records has is not a field without values: HR would lose
        what it has.

        Raises:
            Misconfigured: with the fields.
        """
        if read.vanished and read.read > 1:
            names = ", ".join(f"{self.spec.feed}.{name}" for name in read.vanished)
            sparse = (
                " If this tenant leaves out fields without a value, set "
                "HRSYNC_DIALECT__SPARSE=true."
            )
            raise Misconfigured(
                f"{self.spec.source_side} sends no field {names}, which {self.spec.name} needs; "
                "nothing was written",
                "The data engineer must look for a new name (hrsync doctor), a missing right "
                "of the service user, or take the field"
                f" out of the mapping.{sparse if self.spec.direction == 'to_hr' else ''}",
            )

    def _guard(self, draft: Draft) -> None:
        plan = draft.compared.plan
        found = guarded(draft)
        if self.order.confirm and len(plan.changes):
            found = [*found, REPAIR]
        if not found:
            return
        waits = self.store.waiting(self.spec.name, self.spec.fingerprint(), self.now)
        if waits and self.order.flow_run:
            raise Skipped(
                f"Nothing was done: the plan {waits[0]} waits for an approval in the Prefect "
                f"run {waits[1]}",
                "Whoever answers for the HR data must decide on it there, or with 'hrsync "
                "apply' or 'hrsync reject' and the digest.",
            )
        self.store.keep_draft(
            draft, "waiting", self.now, self.order.flow_run, self.now + self.order.patience, self.id
        )
        raise UnsafePlan(
            f"The plan {plan.digest} was stopped by its guard: {'; '.join(found)}",
            "Nothing was written. Whoever answers for the HR data must look at it ('hrsync "
            "plan'); if it is right:"
            f" hrsync apply {plan.digest}",
            plan.digest,
        )

    def _carry_out(
        self, draft: Draft, landed: pd.DataFrame | None = None
    ) -> tuple[RunReport, Plan]:
        """Loads the draft's plan and settles, in one transaction with its last receipts and the
        watermark.

        landed: receipts of changes that the target shows already and that are not sent again.
        """
        spec, report, plan = draft.spec, draft.report, draft.compared.plan
        with _timed(report, "load"):
            receipts, last = self.call(
                load, self.target, self.store, spec, plan, self.id, self.world.clock, landed
            )
        settled = settle(spec, draft.compared, receipts)
        report.outcomes.update(settled.outcomes)
        report.reexamined, report.reasons = settled.reexamined, settled.reasons
        untried = int((receipts["outcome"] == "untried").sum())
        failure = None
        if untried:
            why = receipts["reason"][receipts["outcome"] == "failed"].iloc[-1]
            failure = (
                f"{spec.target_side} refused {spec.breaker} changes in a row; {untried} "
                f"more were not tried. The last reason: {why}"
            )
            report.watermark_after = draft.before.moment
        with _timed(report, "record"):
            self.store.settle(self.id, draft, settled, last, self.world.clock(), failure)
        if failure:
            raise TargetFailed(
                failure,
                f"The operator must look at {spec.target_side}; the next run tries again, and "
                "nothing was lost.",
            )
        return report, plan


@contextmanager
def _timed(report: RunReport, step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    report.seconds[step] = time.perf_counter() - began

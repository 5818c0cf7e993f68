"""Plans by their digest: those that were carried out, and drafts that wait for a person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from reconciliation.draft import Draft
from reconciliation.errors import StalePlan
from reconciliation.plan import Plan
from reconciliation.report import RunReport
from reconciliation.settle import Compared
from reconciliation.spec import ProcessSpec
from reconciliation.tables import texts
from reconciliation.watermark import Watermark

from . import schema as t
from .base import failing, naive, packed, unpacked, upsert
from .runs import Runs

FRAMES = (
    "rejected",
    "outside",
    "pairs",
    "held",
    "links",
    "gone",
    "reported",
    "rejections",
    "agreed",
    "lost",
    "unread",
)
OPEN = ("made", "waiting")
"""The statuses of a plan that somebody may still decide on."""


@dataclass(frozen=True)
class _Rest:
    """What a draft has beside its frames."""

    spec: ProcessSpec
    population: int
    figures: dict[str, int]
    before: Watermark
    after: Watermark
    report: RunReport
    retried: tuple[str, ...]
    looked_again: bool
    whole: bool
    drift: tuple[tuple[str, str], ...] | None


REST = TypeAdapter(_Rest)


class Plans(Runs):
    """Kept plans."""

    def keep_plan(
        self, plan: Plan, spec: ProcessSpec, now: datetime, run: str | None = None
    ) -> None:
        """Keeps the plan under its digest; the same plan twice is kept once, one without changes
        not at all.

        run: the run that keeps it, whose lease is checked.
        """
        if len(plan.changes):
            with failing(), self.engine.begin() as connection:
                if run:
                    self.hold_lease(connection, spec, run)
                self._keep(connection, plan, spec, now, {})

    def _keep(
        self,
        connection: sa.Connection,
        plan: Plan,
        spec: ProcessSpec,
        now: datetime,
        more: dict[str, Any],
    ) -> None:
        row = {
            "digest": plan.digest,
            "process": spec.name,
            "fingerprint": spec.fingerprint(),
            "made": naive(now),
            "changes": packed(plan.changes),
            "before": packed(plan.before),
            "redacted": False,
            **more,
        }
        connection.execute(upsert(self.engine, t.plan, list(row), ["digest"]), row)

    def plan(self, digest_: str) -> Plan | None:
        """A kept plan; ``None`` if there is none (any more)."""
        p = t.plan.c
        with failing(), self.engine.connect() as connection:
            row = connection.execute(
                sa.select(p.changes, p.before).where(p.digest == digest_)
            ).first()
        if row is None:
            return None
        nothing = texts()
        return Plan(unpacked(row.changes), unpacked(row.before), nothing, nothing, self.salt())

    def keep_draft(
        self,
        draft: Draft,
        status: Literal["made", "waiting"],
        now: datetime,
        flow_run: str | None,
        until: datetime,
        run: str | None = None,
    ) -> None:
        """Keeps a draft to be applied by the digest of its plan; it takes the place of an older one
        that waits.

        A sweep ends with it: what its parts were read for is in the draft. run: the run that keeps
        it, whose lease is checked.
        """
        compared, p = draft.compared, t.plan.c
        rest = _Rest(
            draft.spec,
            compared.population,
            dict(compared.figures),
            draft.before,
            draft.after,
            draft.report,
            draft.retried,
            draft.looked_again,
            draft.whole,
            draft.drift,
        )
        frames = {name: getattr(compared, name) for name in FRAMES} | {
            "withheld": compared.plan.withheld.to_frame("key")
        }
        more = {
            "status": status,
            "flow_run": flow_run,
            "until": naive(until),
            "draft": REST.dump_python(rest, mode="json"),
        }
        older = (
            (p.process == draft.spec.name)
            & (p.fingerprint == draft.spec.fingerprint())
            & (p.status == "waiting")
        )
        with failing(), self.engine.begin() as connection:
            if run:
                self.hold_lease(connection, draft.spec, run)
            if status == "waiting":
                self.end_drafts(connection, older, "stale")
            self._keep(connection, compared.plan, draft.spec, now, more)
            if draft.whole:
                s = t.sweep_part.c
                connection.execute(
                    t.sweep_part.delete().where(
                        s.process == draft.spec.name, s.fingerprint == draft.spec.fingerprint()
                    )
                )
            rows = [
                {"digest": compared.plan.digest, "name": name, "data": packed(data)}
                for name, data in frames.items()
            ]
            connection.execute(
                upsert(self.engine, t.plan_part, ["digest", "name", "data"], ["digest", "name"]),
                rows,
            )

    def waiting(self, process: str, fingerprint: str, now: datetime) -> tuple[str, str] | None:
        """(digest, flow run) of the plan of this process that waits for an approval in Prefect."""
        p = t.plan.c
        mine = (p.process == process) & (p.fingerprint == fingerprint) & (p.status == "waiting")
        query = sa.select(p.digest, p.flow_run).where(
            mine, p.flow_run.is_not(None), p.until > naive(now)
        )
        with failing(), self.engine.connect() as connection:
            row = connection.execute(query).first()
        return (row[0], row[1]) if row else None

    def drafts(self) -> list[dict[str, Any]]:
        """Plans that somebody may apply or reject, oldest first: digest, process, status, made,
        until, changes per kind."""
        p = t.plan.c
        query = sa.select(p.digest, p.process, p.status, p.made, p.until, p.flow_run).where(
            p.status.in_(OPEN)
        )
        with failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query.order_by(p.made)).mappings()]

    def draft(self, digest_: str) -> Draft:
        """The draft under a digest, to be applied.

        Raises:
            StalePlan: there is none, it has been applied, rejected or redacted, it does not have
                this digest, or another release has made it.
        """
        remedy = "Make a new one: hrsync plan PROCESS --out."
        plan = self.plan(digest_)
        with failing(), self.engine.connect() as connection:
            row = (
                connection.execute(sa.select(t.plan).where(t.plan.c.digest == digest_))
                .mappings()
                .first()
            )
            parts = connection.execute(
                sa.select(t.plan_part.c.name, t.plan_part.c.data).where(
                    t.plan_part.c.digest == digest_
                )
            )
            frames: dict[str, pd.DataFrame] = {
                name: unpacked(data) for name, data in parts.tuples()
            }
        if plan is None or row is None or row["status"] == "carried":
            raise StalePlan(
                f"No plan {digest_} is kept to be applied",
                f"Look it up with 'hrsync status'. {remedy}",
            )
        if row["status"] not in OPEN:
            raise StalePlan(f"The plan {digest_} is {row['status']} already", remedy)
        if row["redacted"]:
            raise StalePlan(
                f"The plan {digest_} concerned somebody who has been forgotten since", remedy
            )
        if not _fits(plan, digest_):
            raise StalePlan(
                f"The plan kept as {digest_} has been altered: it does not have this digest",
                f"Find out who has access to the sync store. {remedy}",
            )
        try:
            rest = REST.validate_python(row["draft"])
        except ValidationError:
            raise StalePlan(
                f"The plan {digest_} was made by another release of hrsync", remedy
            ) from None
        plan = replace(plan, withheld=frames["withheld"]["key"])
        # A draft of an older version may lack one.
        kept = {name: frames[name] for name in FRAMES if name in frames}
        compared = Compared(**kept, plan=plan, population=rest.population, figures=rest.figures)
        return Draft(
            rest.spec,
            compared,
            rest.before,
            rest.after,
            rest.report,
            rest.retried,
            rest.looked_again,
            rest.whole,
            rest.drift,
        )

    def take_plan(self, digest_: str, spec: ProcessSpec, run: str) -> None:
        """Notes that a run begins to apply a draft: from now on until it ends nobody rejects the
        plan.

        Raises:
            StalePlan: somebody has decided otherwise since the draft was read.
            StoreFailed: the run has lost its lease.
        """
        which = (t.plan.c.digest == digest_) & t.plan.c.status.in_(OPEN)
        with failing(), self.engine.begin() as connection:
            self.hold_lease(connection, spec, run)
            taken = connection.execute(t.plan.update().where(which).values(run=run)).rowcount
        if not taken:
            raise StalePlan(
                f"The plan {digest_} was rejected or has become stale meanwhile",
                "Make a new one: hrsync plan PROCESS --out.",
            )

    def begun(self, digest_: str) -> bool:
        """Whether a run was ever about to send changes of this plan."""
        with failing(), self.engine.connect() as connection:
            return (
                connection.execute(
                    sa.select(t.intent.c.id).where(t.intent.c.digest == digest_).limit(1)
                ).scalar()
                is not None
            )

    def close_plan(
        self, digest_: str, status: Literal["rejected", "stale"], run: str | None = None
    ) -> bool:
        """Notes what became of a draft; what applying it would have needed is dropped. run: the run
        that applies it, if it says so.

        Returns whether it was closed: not if another run is applying it, or if somebody has decided
        on it before.
        """
        with failing(), self.engine.begin() as connection:
            mine = t.plan.c.run == run if run else ~self.applying()
            return self.end_drafts(connection, (t.plan.c.digest == digest_) & mine, status) == 1

    def applying(self) -> sa.ColumnElement[bool]:
        """Whether a run that holds its lease is applying a plan (a row of ``plan``)."""
        lease, now = t.lease.c, naive(self.clock())
        return (
            sa.exists()
            .where(lease.process == t.plan.c.process, lease.run == t.plan.c.run, lease.until >= now)
            .correlate(t.plan)
        )

    def end_drafts(
        self, connection: sa.Connection, which: sa.ColumnElement[bool], status: str
    ) -> int:
        """:meth:`close_plan` within a transaction, for the drafts among some plans; how many they
        were."""
        ending = (
            t.plan.update()
            .where(which & t.plan.c.status.in_(OPEN))
            .values(status=status, draft=None)
        )
        digests = list(connection.execute(ending.returning(t.plan.c.digest)).scalars())
        if digests:
            connection.execute(t.plan_part.delete().where(t.plan_part.c.digest.in_(digests)))
        return len(digests)


def _fits(plan: Plan, digest_: str) -> bool:
    """Whether the frames of a kept plan are those that its digest names."""
    try:
        return plan.digest == digest_
    except (pa.ArrowException, KeyError):
        return False

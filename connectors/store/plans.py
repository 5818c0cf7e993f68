"""Stores plans by their digest: those that were carried out, and drafts that wait for a person's
decision."""

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
"""Frames of a draft (fields of ``settle.Compared``) that are stored beside its plan."""
OPEN = ("made", "waiting")
"""Statuses of a plan that can still be applied or rejected."""


@dataclass(frozen=True)
class _Rest:
    """The data of a draft that is not in its frames."""

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
        """Stores a plan under its digest. An equal plan is stored once, and a plan without changes
        not at all. If ``run`` is given, its lease is checked."""
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
        """Stores a plan, with ``more`` columns, within a transaction."""
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
        """Returns a stored plan, or ``None`` if it does not exist or was pruned."""
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
        """Stores a draft, to be applied later by the digest of its plan.

        A draft that waits for approval replaces an older one of the same process and scope, which
        becomes stale. After a sweep the parts of the sweep are deleted, because the draft holds
        their results. If ``run`` is given, its lease is checked.
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
        """Returns (digest, flow run) of the plan of this process and scope that waits for approval
        in Prefect, or ``None``."""
        p = t.plan.c
        query = sa.select(p.digest, p.flow_run).where(
            p.process == process,
            p.fingerprint == fingerprint,
            p.status == "waiting",
            p.flow_run.is_not(None),
            p.until > naive(now),
        )
        with failing(), self.engine.connect() as connection:
            row = connection.execute(query).first()
        return (row[0], row[1]) if row else None

    def drafts(self) -> list[dict[str, Any]]:
        """Returns plans that can be applied or rejected, oldest first: digest, process, status,
        made, until and flow_run."""
        p = t.plan.c
        query = sa.select(p.digest, p.process, p.status, p.made, p.until, p.flow_run).where(
            p.status.in_(OPEN)
        )
        with failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query.order_by(p.made)).mappings()]

    def draft(self, digest_: str) -> Draft:
        """Returns the draft with this digest, to be applied.

        Raises:
            StalePlan: it does not exist; it was applied, rejected or redacted; its content does not
                fit the digest; or another release has made it.
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
                f"There is no plan {digest_} to apply",
                f"Look it up with 'hrsync status'. {remedy}",
            )
        if row["status"] not in OPEN:
            raise StalePlan(f"The plan {digest_} is already {row['status']}", remedy)
        if row["redacted"]:
            raise StalePlan(
                f"The plan {digest_} had changes of a person whose data has been erased since",
                remedy,
            )
        if not _fits(plan, digest_):
            raise StalePlan(
                f"The plan stored as {digest_} has been altered: its content does not fit the "
                "digest",
                f"Find out who has access to the sync store. {remedy}",
            )
        try:
            rest = REST.validate_python(row["draft"])
        except ValidationError:
            raise StalePlan(
                f"The plan {digest_} was made by another release of hrsync", remedy
            ) from None
        plan = replace(plan, withheld=frames["withheld"]["key"])
        # A draft of an older release may lack some frames.
        stored = {name: frames[name] for name in FRAMES if name in frames}
        compared = Compared(**stored, plan=plan, population=rest.population, figures=rest.figures)
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
        """Marks a draft as being applied by a run. Until the run ends, no one can reject the plan.

        Raises:
            StalePlan: the plan was rejected or became stale since the draft was read.
            StoreFailed: the run has lost its lease.
        """
        open_plan = (t.plan.c.digest == digest_) & t.plan.c.status.in_(OPEN)
        with failing(), self.engine.begin() as connection:
            self.hold_lease(connection, spec, run)
            taken = connection.execute(t.plan.update().where(open_plan).values(run=run)).rowcount
        if not taken:
            raise StalePlan(
                f"The plan {digest_} was rejected or became stale in the meantime",
                "Make a new one: hrsync plan PROCESS --out.",
            )

    def begun(self, digest_: str) -> bool:
        """Whether a run has ever started to send changes of this plan."""
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
        """Closes a draft with a status, and deletes its frames.

        ``run`` is the run that applies the draft, if that run closes it. Returns false if another
        run is applying the draft, or if it is closed already.
        """
        with failing(), self.engine.begin() as connection:
            allowed = t.plan.c.run == run if run else ~self.applying()
            return self.end_drafts(connection, (t.plan.c.digest == digest_) & allowed, status) == 1

    def applying(self) -> sa.ColumnElement[bool]:
        """Condition for a row of ``plan``: a run that holds its lease is applying it."""
        lease, now = t.lease.c, naive(self.clock())
        return (
            sa.exists()
            .where(lease.process == t.plan.c.process, lease.run == t.plan.c.run, lease.until >= now)
            .correlate(t.plan)
        )

    def end_drafts(
        self, connection: sa.Connection, which: sa.ColumnElement[bool], status: str
    ) -> int:
        """Closes the open drafts among some plans, within a transaction. Returns their number."""
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
    """Whether the content of a stored plan has this digest."""
    try:
        return plan.digest == digest_
    except (pa.ArrowException, KeyError):
        return False

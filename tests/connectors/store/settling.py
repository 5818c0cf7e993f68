"""What a run leaves in the store, made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from connectors.database import connect
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows import users_to_hr
from reconciliation.ask import Range
from reconciliation.draft import Draft
from reconciliation.frame import empty, of
from reconciliation.match import HELD, LINKS
from reconciliation.ownership import AGREED
from reconciliation.plan import Plan, reconcile
from reconciliation.ports import Batch
from reconciliation.receipts import RECEIPTS, done
from reconciliation.report import RunReport
from reconciliation.settle import QUARANTINE, Compared, Settled
from reconciliation.snapshot import REJECTED, Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN
from reconciliation.tables import texts
from reconciliation.watermark import Watermark

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SPEC = users_to_hr.SPEC
COLUMNS = SPEC.columns()
KEYED = {"employee_id": "text", **COLUMNS}
OUTSIDE = {"key": "text", "hash": "hash", "target_key": "text"}
PAIRS = {"source_key": "text", "key": "text", "hash": "hash"}


def employee(key: str, user: str, surname: str = "Lee") -> tuple[object, ...]:
    row = dict.fromkeys(KEYED) | {"employee_id": key, "accessplanit_id": user, "surname": surname}
    return tuple(row.values())


def make_plan(desired: list[tuple[object, ...]], there: list[tuple[object, ...]] = []) -> Plan:  # noqa: B006
    return reconcile(of(KEYED, desired), of(KEYED, there), "employee_id", COLUMNS, SPEC.compared())


def make_draft(
    plan: Plan, mark: Watermark | None = None, before: Watermark | None = None, **more: Any
) -> Draft:
    none = {
        "links": empty(LINKS),
        "gone": empty(ORIGIN),
        "reported": empty(ORIGIN),
        "outside": empty(OUTSIDE),
        "pairs": empty(PAIRS),
    }
    none |= {"rejections": empty(RECEIPTS), "agreed": empty({**AGREED, "row": "text"})}
    compared = Compared(
        empty(REJECTED),
        held=empty({**HELD, "hash": "hash"}),
        **none,
        plan=plan,
        population=0,
        figures={},
    )
    return Draft(
        SPEC,
        compared,
        before or Watermark(),
        mark or Watermark(),
        RunReport(SPEC.name, "apply", "test", NOW),
        **more,
    )


@contextmanager
def leased(store: SyncStore, run: str, spec: ProcessSpec = SPEC) -> Iterator[None]:
    store.start(run, spec, "apply", NOW)
    with store.lease(spec.name, run) as mine, store.lease(str(spec.pair), run) as alone:
        assert mine
        assert alone
        yield


def settle(
    store: SyncStore,
    run: str,
    *,
    landed: list[tuple[str, int]] = [],  # noqa: B006
    bad: list[tuple[object, ...]] = [],  # noqa: B006
    links: list[tuple[str, str]] = [],  # noqa: B006
    agreed: list[tuple[str, str, str | None]] = [],  # noqa: B006
    draft: Draft | None = None,
    last: Batch | None = None,
    now: datetime = NOW,
    failure: str | None = None,
) -> tuple[str, ...]:
    rows = of({"key": "text", "hash": "hash"}, landed)
    settled = Settled(
        {},
        0,
        rows,
        of(LINKS, links),
        of(QUARANTINE, bad),
        texts(),
        of(AGREED, agreed),
        [],
    )
    with leased(store, run):
        return store.settle(run, draft or make_draft(make_plan([])), settled, last, now, failure)


def entry(
    key: str | None, digest: int | None, waits_for: str | None = None, stage: str = "rejected"
) -> tuple[object, ...]:
    return (key, "held" if waits_for else stage, "field", "reason", waits_for, "{}", digest)


def count(store: SyncStore, table: sa.Table) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def at_revision(url: str, revision: str) -> sa.Engine:
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(Path(t.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def carry_out(store: SyncStore, run: str, plan: Plan, receipts: Any = None) -> None:
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, run):
        intent = store.intend(run, SPEC, plan.digest, 0, len(plan.changes), NOW)
        store.receive(
            run,
            SPEC,
            Batch(intent, plan.changes, done(plan.changes) if receipts is None else receipts),
            NOW,
        )


def keep(store: SyncStore, draft: Draft, flow_run: str | None = "f1", hours: int = 24) -> str:
    store.keep_draft(draft, "waiting", NOW, flow_run, NOW + timedelta(hours=hours))
    return draft.compared.plan.digest


PART = Range("created_at", None, datetime(2026, 1, 1, tzinfo=UTC))


def sweep_part(store: SyncStore) -> None:
    frame = of({"id": "text", "surname": "text", "hash": "hash"}, [("u1", "Lee", 5)])
    read = Snapshot(frame, True, of(REJECTED, [("u2", "f", "r", "raw", 6)]), 3, 0, 1, ("Fax",), ())
    store.keep_part(SPEC, PART, read, NOW)

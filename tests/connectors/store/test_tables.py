"""The tables of the sync store, and stores of earlier releases."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.database import connect, migrate
from connectors.hr import schema as hr_schema
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from reconciliation.errors import Misconfigured, StalePlan
from reconciliation.frame import strings

from .settling import SPEC, at_revision, employee, make_plan, settle

pytestmark = pytest.mark.usefixtures("migrations")


@pytest.mark.parametrize("module", [hr_schema, t], ids=["hr", "store"])
def test_migrations_make_exactly_the_declared_tables(
    module: Any, store_url: str, postgresql: Any
) -> None:
    engine = connect(store_url)
    folder = Path(module.__file__).parent / "migrations"
    migrate(engine, folder, "version")
    migrate(engine, folder, "version")
    declared = (
        sa.create_engine("sqlite://")
        if engine.dialect.name == "sqlite"
        else sa.create_engine(postgresql())
    )
    module.metadata.create_all(declared)
    for table in module.metadata.sorted_tables:
        made, wanted = sa.inspect(engine), sa.inspect(declared)
        assert _columns(made, table.name) == _columns(wanted, table.name)
        assert (
            made.get_pk_constraint(table.name)["constrained_columns"]
            == wanted.get_pk_constraint(table.name)["constrained_columns"]
        )
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS "
        "NOT NULL ORDER BY name",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND "
        "left(indexname, 3) = 'ix_' UNION SELECT trigger_name FROM information_schema.triggers "
        "ORDER BY 1",
    }
    with engine.connect() as one, declared.connect() as other:
        query = names[engine.dialect.name]
        assert one.exec_driver_sql(query).all() == other.exec_driver_sql(query).all() != []
    engine.dispose()
    declared.dispose()


def _columns(inspector: Any, table: str) -> dict[str, tuple[str, bool, str | None]]:
    return {
        column["name"]: (str(column["type"]), column["nullable"], column["default"])
        for column in inspector.get_columns(table)
    }


def test_a_store_of_the_first_revision_is_brought_up_with_its_data(store_url: str) -> None:
    engine = at_revision(store_url, "0001")
    plan = make_plan([employee("E1", "u1")])
    from connectors.store.base import packed

    old = plan.changes.drop(columns="reason")
    with engine.begin() as connection:
        for text, values in (
            ("record VALUES ('users_to_hr', 'u1', 7)", {}),
            ("link VALUES ('employees', 'u1', 'E1', '2026-01-01 00:00:00')", {}),
            (
                f"watermark VALUES ('users_to_hr', '{SPEC.fingerprint()}', '2026-01-01 "
                "00:00:00', '2026-01-01', :no)",
                {"no": False},
            ),
            (
                "run (id, process, mode, started) VALUES ('r0', 'users_to_hr', 'apply', "
                "'2026-01-01 00:00:00')",
                {},
            ),
            (
                "quarantine (id, process, feed, key, stage, reason, attempts, first_seen, "
                "last_seen, run, status)"
                " VALUES (1, 'users_to_hr', 'User', 'u2', 'held', 'r', 1, '2026-01-01 "
                "00:00:00', '2026-01-01 00:00:00', 'r0', 'open')",
                {},
            ),
            ("budget VALUES ('user', 1, 20)", {}),
        ):
            connection.execute(sa.text(f"INSERT INTO {text}"), values)
        row = {"d": plan.digest, "c": packed(old), "b": packed(plan.before)}
        connection.execute(
            sa.text("INSERT INTO plan VALUES (:d, 'users_to_hr', '2026-01-01 00:00:00', :c, :b)"),
            row,
        )
    engine.dispose()
    store = SyncStore(store_url)
    assert store.known(SPEC.name).tolist() == [7]
    assert store.listed(None, "u1", 5)[0]["origin"] == "matched"
    assert store.watermark(SPEC.name, SPEC.fingerprint()).moment == datetime(2026, 1, 1, tzinfo=UTC)
    assert [r["id"] for r in store.runs(5)] == ["r0"]
    assert [e["key"] for e in store.quarantined()] == ["u2"]
    kept = store.plan(plan.digest)
    assert kept is not None
    assert strings(kept.changes["key"]) == ["E1"]
    with pytest.raises(StalePlan):
        store.draft(plan.digest)
    settle(store, "r1", landed=[("u2", 1)])
    assert store.quarantined() == []
    store.close()


def test_a_store_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"There is no sync store at .*here\.db.*HRSYNC_HOME"):
        SyncStore(f"sqlite:///{tmp_path / 'here.db'}", create=False)
    assert not list(tmp_path.iterdir())
    SyncStore(f"sqlite:///{tmp_path / 'here.db'}").close()
    SyncStore(f"sqlite:///{tmp_path / 'here.db'}", create=False).close()

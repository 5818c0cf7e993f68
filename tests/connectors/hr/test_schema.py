"""What ``schema.py`` declares is added to databases that lack it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from connectors.database import add_missing, connect
from connectors.hr.schema import columns_of, metadata
from connectors.hr.sql import SqlHr


@pytest.fixture
def engine(store_url: str) -> Any:
    """A database that all migrations have made."""
    SqlHr(store_url).close()
    engine = connect(store_url)
    yield engine
    engine.dispose()


def test_a_new_column_reaches_a_table_that_has_rows(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO job_roles (job_role_id, label) VALUES ('J1', 'Diver')"
        )
    wider = sa.MetaData()
    for table in metadata.tables.values():
        table.to_metadata(wider)
    wider.tables["employees"].append_column(sa.Column("site", sa.Text))
    roles = wider.tables["job_roles"]
    roles.append_column(sa.Column("grade", sa.BigInteger))
    roles.append_column(sa.Column("band", sa.Text, server_default="none", nullable=False))
    sa.Index("ix_job_roles_grade", roles.c["grade"])
    for _ in range(2):
        add_missing(engine, wider)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT label, grade, band FROM job_roles").all() == [
            ("Diver", None, "none")
        ]
    assert "site" in {c["name"] for c in sa.inspect(engine).get_columns("employees")}
    assert "ix_job_roles_grade" in {i["name"] for i in sa.inspect(engine).get_indexes("job_roles")}


def test_what_others_keep_in_the_database_is_left_alone(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x TEXT)")
        connection.exec_driver_sql("ALTER TABLE job_roles ADD COLUMN theirs TEXT")
    add_missing(engine, metadata)
    assert "theirs" in {c["name"] for c in sa.inspect(engine).get_columns("job_roles")}
    assert columns_of("job_roles").keys() == {c.name for c in metadata.tables["job_roles"].columns}

"""Adds the last common values of both sides. Open plans become stale, because they lack data that
applying them now needs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("pair", "key", "field"),
        sqlite_with_rowid=False,
    )
    op.execute("UPDATE plan SET status = 'stale', draft = NULL WHERE status IN ('made', 'waiting')")

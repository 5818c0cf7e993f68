"""Adds the records known to be deleted in the source, and the salt of digests."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table("salt", sa.Column("value", sa.Text(), primary_key=True))
    op.create_table(
        "gone",
        sa.Column("process", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
    )
    # The digests of open plans were made without the salt, so these plans would look altered.
    op.execute(
        "DELETE FROM plan_part WHERE digest IN (SELECT digest FROM plan WHERE status IN ('made', 'waiting'))"
    )
    op.execute("UPDATE plan SET status = 'stale', draft = NULL WHERE status IN ('made', 'waiting')")

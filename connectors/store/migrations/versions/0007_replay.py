"""Adds the time at which a run began to read a hint's record, and the scopes of quarantined
records."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("hint", sa.Column("taken", sa.DateTime()))
    op.add_column("quarantine", sa.Column("fingerprint", sa.Text()))
    op.create_table(
        "scope",
        sa.Column("process", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.Text(), primary_key=True),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("used", sa.DateTime(), nullable=False),
    )

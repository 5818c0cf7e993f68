"""Which hints a run has begun to read, and the scope that a record in quarantine was read with."""

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

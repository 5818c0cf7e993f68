"""Adds fencing numbers of leases, and the run that applies a plan."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("lease", sa.Column("token", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("plan", sa.Column("run", sa.Text()))

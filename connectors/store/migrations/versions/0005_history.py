"""Adds segments: versions of rows that outlive their plans."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "segment",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_segment_process", "segment", ["process"])
    op.add_column(
        "intent", sa.Column("segmented", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index("ix_intent_segmented", "intent", ["process", "segmented"])
    op.create_index("ix_ledger_intent", "ledger", ["intent"])

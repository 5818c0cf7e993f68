"""Adds webhook deliveries and their hints."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("received", sa.DateTime(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("ix_delivery_identity", "delivery", ["identity"])
    op.create_index("ix_delivery_received", "delivery", ["received"])
    op.create_table(
        "hint",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("delivery", SERIAL, nullable=True),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("received", sa.DateTime(), nullable=False),
        sa.Column("announced", sa.DateTime(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("heard", sa.DateTime(), nullable=True),
        sa.Column("run", sa.Text(), nullable=True),
    )
    op.create_index("ix_hint_waiting", "hint", ["heard", "process", "key"])
    op.create_index("ix_hint_delivery", "hint", ["delivery"])
    op.create_table(
        "refusal",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("reason", sa.Text(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
    )

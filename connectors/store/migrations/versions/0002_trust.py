"""Adds the ledger, drafts of plans, leases, sweeps, drift and tombstones."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("link") as table:
        table.add_column(sa.Column("origin", sa.Text(), nullable=False, server_default="matched"))
    with op.batch_alter_table("quarantine") as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=True))
    with op.batch_alter_table("plan") as table:
        table.add_column(sa.Column("status", sa.Text(), nullable=False, server_default="carried"))
        table.add_column(sa.Column("fingerprint", sa.Text(), nullable=True))
        table.add_column(sa.Column("flow_run", sa.Text(), nullable=True))
        table.add_column(sa.Column("until", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("draft", sa.JSON(), nullable=True))
        table.add_column(
            sa.Column("redacted", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_index("ix_plan_status", "plan", ["process", "status"])
    with op.batch_alter_table("run") as table:
        table.add_column(sa.Column("fingerprint", sa.Text(), nullable=True))
        table.add_column(sa.Column("flow_run", sa.Text(), nullable=True))
    op.create_index("ix_run_process", "run", ["process", "started"])
    op.create_table(
        "plan_part",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "name"),
    )
    op.create_table(
        "intent",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("closed", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_intent_process", "intent", ["process", "at"])
    op.create_table(
        "ledger",
        sa.Column("seq", SERIAL, nullable=False),
        sa.Column("intent", SERIAL, nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_ledger_key", "ledger", ["key"])
    op.create_index("ix_ledger_person", "ledger", ["person"])
    op.create_table(
        "lease",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("process"),
    )
    op.create_table(
        "sweep_part",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("began", sa.DateTime(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("rejected", sa.LargeBinary(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", "fingerprint", "part"),
    )
    op.create_table(
        "drift",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("process", "field"),
    )
    op.create_table(
        "tombstone",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("erased", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )

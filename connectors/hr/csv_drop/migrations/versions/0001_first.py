"""Creates the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "delivery",
        sa.Column("sequence", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer()),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("made", sa.DateTime(), nullable=False),
        sa.Column("delivered", sa.DateTime()),
    )
    op.create_index("ix_delivery_delivered", "delivery", ["delivered"])
    op.create_table(
        "answer_file",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), primary_key=True),
        sa.Column("taken", sa.DateTime(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
    )
    op.create_table(
        "answer_line",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
    )
    op.create_index("ix_answer_line_entity", "answer_line", ["entity"])

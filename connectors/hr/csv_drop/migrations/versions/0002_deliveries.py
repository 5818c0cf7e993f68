"""Adds the time at which an answer file was written, and the file name of each rejected line.

The reason of a rejected line no longer names the file.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
NAMED = re.compile(r" \(line (\d+) of (.*)\)$", re.DOTALL)


def upgrade() -> None:
    # The time of files that were read earlier is not known: a file that is still in the inbox is read again.
    op.drop_table("answer_file")
    op.create_table(
        "answer_file",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text()),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("taken", sa.DateTime(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
    )
    op.create_index("ix_answer_file_taken", "answer_file", ["taken"])
    op.create_table(
        "answer_look",
        sa.Column("inbox", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
    )
    op.add_column("answer_line", sa.Column("file", sa.Text()))
    op.create_index("ix_answer_line_file", "answer_line", ["file"])
    _name_files(op.get_bind())


def _name_files(connection: sa.Connection) -> None:
    """Moves the file's name from the reason to its own column."""
    line = sa.table(
        "answer_line", *(sa.column(name) for name in ("id", "field", "reason", "raw", "file"))
    )
    for row in connection.execute(sa.select(line)).all():
        named = NAMED.search(row.reason)
        if row.field == "(file)":
            values = {"file": row.raw, "reason": row.reason.removeprefix(f"{row.raw} ")}
        elif named:
            values = {
                "file": named[2],
                "reason": f"{row.reason[: named.start()]} (line {named[1]})",
            }
        else:
            continue
        connection.execute(line.update().where(line.c.id == row.id).values(values))

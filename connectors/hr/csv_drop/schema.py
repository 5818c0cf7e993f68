"""The drop's own tables, beside the mirror's: what waits for delivery, and which answers were read.
Moments are UTC."""

from __future__ import annotations

import sqlalchemy as sa

VERSION = "drop_version"
"""Table with the version of these tables; the mirror's has Alembic's usual name."""
metadata = sa.MetaData()

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer),
    sa.Column("content", sa.LargeBinary),
    sa.Column("made", sa.DateTime, nullable=False),
    sa.Column("delivered", sa.DateTime, index=True),
)
"""content: of a delta until it is delivered; a full file is made from the mirror when it is."""
answer_file = sa.Table(
    "answer_file",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("taken", sa.DateTime, nullable=False, index=True),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("bad", sa.Integer, nullable=False),
)
"""The latest file of each name that was taken in. sha256, manifest: of its content and of its
manifest, if there was one. written: as :class:`.places.Entry` has it."""
answer_look = sa.Table(
    "answer_look",
    metadata,
    sa.Column("inbox", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
)
"""Files of an inbox as they were last seen. since: when a file was first seen like this, by our
clock."""
answer_line = sa.Table(
    "answer_line",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("entity", sa.Text, nullable=False, index=True),
    sa.Column("file", sa.Text, index=True),
    sa.Column("key", sa.Text),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.Text, nullable=False),
)
"""Lines that could not be read, until a later one with their key could, or their file (``file``:
its name) came again."""

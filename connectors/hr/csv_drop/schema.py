"""Defines the drop's own tables, which are in the same database as the mirror: deliveries, and
answer files. Moments are UTC."""

from __future__ import annotations

import sqlalchemy as sa

VERSION = "drop_version"
"""Name of Alembic's version table for these tables. The mirror's tables use the default name."""
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
"""Files to deliver and delivered files. ``content`` is that of a delta until it is delivered; a
full file is made from the mirror at delivery."""
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
"""The latest answer file of each name that was read. ``sha256`` is the digest of its content,
``manifest`` that of its manifest, if it had one. ``written`` is as in :class:`.files.Entry`."""
answer_look = sa.Table(
    "answer_look",
    metadata,
    sa.Column("inbox", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
)
"""Files of an inbox as last seen. ``since`` is when a file was first seen in this state, by our
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
"""Lines that could not be read. They are deleted when a later line has their key, or when their
file (``file`` is its name) comes again."""

"""The tables of the sync store. Moments are UTC, without offset. It holds personal data: guard it like HR itself."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

record = sa.Table(
    "record",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("hash", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The hash of each source record as it was when it last needed nothing more."""

link = sa.Table(
    "link",
    metadata,
    sa.Column("entity", sa.Text, primary_key=True),
    sa.Column("source_key", sa.Text, primary_key=True),
    sa.Column("target_key", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
    sa.UniqueConstraint("entity", "target_key"),
)
"""Which accessplanit record is which HR record."""

watermark = sa.Table(
    "watermark",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("moment", sa.DateTime),
    sa.Column("as_of", sa.Date),
    sa.Column("waiting", sa.Boolean, nullable=False),
)
"""How far each process has read, per scope and mapping (``ProcessSpec.fingerprint``)."""

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("feed", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("field", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("waits_for", sa.Text),
    sa.Column("raw", sa.Text),
    sa.Column("hash", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("first_seen", sa.DateTime, nullable=False),
    sa.Column("last_seen", sa.DateTime, nullable=False),
    sa.Column("next_attempt", sa.DateTime),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
)
"""Records that did not go through: rejected, held or failed. status: open, replayed (went through later) or vanished."""
sa.Index("ix_quarantine_open", quarantine.c.process, quarantine.c.status, quarantine.c.key)

plan = sa.Table(
    "plan",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("made", sa.DateTime, nullable=False),
    sa.Column("changes", sa.LargeBinary, nullable=False),
    sa.Column("before", sa.LargeBinary, nullable=False),
)
"""Whole plans as Arrow IPC files, lz4-compressed."""

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("started", sa.DateTime, nullable=False),
    sa.Column("ended", sa.DateTime),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("report", sa.JSON),
)
"""Every run and its figures; no personal data."""

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("used", sa.Integer, nullable=False),
)
"""Requests made per endpoint and hour (number of hours since 1970)."""

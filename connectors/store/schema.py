"""Defines the tables of the sync store. Moments are UTC without an offset. The store holds personal
data: protect it like HR itself."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

record = sa.Table(
    "record",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("hash", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The hash of each source record when it was last processed to the end."""

link = sa.Table(
    "link",
    metadata,
    sa.Column("entity", sa.Text, primary_key=True),
    sa.Column("source_key", sa.Text, primary_key=True),
    sa.Column("target_key", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
    sa.Column("origin", sa.Text, nullable=False, server_default="matched"),
    sa.UniqueConstraint("entity", "target_key"),
)
"""Pairs of an accessplanit record and an HR record that are the same. ``origin`` is ``matched`` (by
a rule, or by creating one of them) or ``set`` (by a person)."""

agreement = sa.Table(
    "agreement",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("value", sa.Text),
    sqlite_with_rowid=False,
)
"""The last common value of each field that both sides may change. ``key`` is the accessplanit
record and ``field`` is accessplanit's name of the field."""

watermark = sa.Table(
    "watermark",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("moment", sa.DateTime),
    sa.Column("as_of", sa.Date),
    sa.Column("waiting", sa.Boolean, nullable=False),
)
"""The point up to which each process has read, per scope and mapping
(``ProcessSpec.fingerprint``)."""

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
    sa.Column("note", sa.Text),
    sa.Column("fingerprint", sa.Text),
)
"""Records that could not be loaded, by stage (``settle.QUARANTINE``).

``status`` is ``open``, ``replayed`` (loaded later), ``vanished`` (no longer in the source) or
``discarded`` (by a person; ``note`` has the reason). An open entry without ``next_attempt`` waits
for a person, or for its record to change. ``fingerprint`` is the scope with which it was read, null
for an entry made by hand.
"""

scope = sa.Table(
    "scope",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("used", sa.DateTime, nullable=False),
)
"""Each definition of a process (``ProcessSpec`` as JSON) that a run has used, and when it was last
used. A definition is one set of filters and one mapping."""
sa.Index("ix_quarantine_open", quarantine.c.process, quarantine.c.status, quarantine.c.key)

plan = sa.Table(
    "plan",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("made", sa.DateTime, nullable=False),
    sa.Column("changes", sa.LargeBinary, nullable=False),
    sa.Column("before", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="carried"),
    sa.Column("fingerprint", sa.Text),
    sa.Column("flow_run", sa.Text),
    sa.Column("until", sa.DateTime),
    sa.Column("draft", sa.JSON),
    sa.Column("redacted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("run", sa.Text),
)
"""Complete plans as Arrow IPC files, lz4-compressed.

``status`` is ``carried`` (a run has carried it out, or tried), ``made`` (by hand, to be applied),
``waiting`` (for approval until ``until`` in the Prefect run ``flow_run``), ``applied``,
``rejected`` or ``stale``. ``draft`` holds the other data that is needed to apply it. If
``redacted``, rows of an erased person were removed, and the digest no longer fits. ``run`` is the
run that has begun to apply it; while that run holds its lease, no one else can decide on the plan.
"""
sa.Index("ix_plan_status", plan.c.process, plan.c.status)

plan_part = sa.Table(
    "plan_part",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""The other frames of a plan that is still to be applied."""

intent = sa.Table(
    "intent",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("stop", sa.Integer, nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("closed", sa.DateTime),
    sa.Column("segmented", sa.Boolean, nullable=False, server_default=sa.false()),
)
"""Changes ``start`` to ``stop`` of a plan, written before they are sent. ``closed`` is the time at
which all their receipts were written. If ``segmented``, their versions are in ``segment``."""
sa.Index("ix_intent_process", intent.c.process, intent.c.at)
sa.Index("ix_intent_segmented", intent.c.process, intent.c.segmented)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", SERIAL, primary_key=True),
    sa.Column("intent", SERIAL, nullable=False),
    sa.Column("place", sa.Integer),
    sa.Column("key", sa.Text),
    sa.Column("person", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("fields", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
)
"""The outcome of every change. Entries are only appended, and deleted after their retention period.
``intent`` leads to run, plan and time. ``place`` is the row in the plan, which holds before and
after until it is pruned. ``key`` is the key of the target row, ``person`` the ID of the
accessplanit user to whom it belongs."""
sa.Index("ix_ledger_key", ledger.c.key)
sa.Index("ix_ledger_person", ledger.c.person)
sa.Index("ix_ledger_intent", ledger.c.intent)

segment = sa.Table(
    "segment",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("until", sa.DateTime, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Versions of rows (``reconciliation/history/versions.py``) as Arrow IPC files: from plans that may
since have been pruned, and from states of the target that no run had written. ``rows`` is their
number, ``until`` the time at which the last one became known."""
sa.Index("ix_segment_process", segment.c.process)

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
    sa.Column("fingerprint", sa.Text),
    sa.Column("flow_run", sa.Text),
)
"""Every run and its figures, without personal data. ``outcome`` is completed, failed, stopped or
skipped, and null while the run is active or if it was killed. ``flow_run`` is its ID in Prefect."""
sa.Index("ix_run_process", run.c.process, run.c.started)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("until", sa.DateTime, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False, server_default="0"),
)
"""The run of each process that may write, and the time at which its lease lapses unless renewed.
``run`` is empty after the lease was released. ``token`` is the fencing number, which grows each
time the lease is taken."""

sweep_part = sa.Table(
    "sweep_part",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("began", sa.DateTime, nullable=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),
    sa.Column("rejected", sa.LargeBinary, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
)
"""The parts of unfinished sweeps, with which an interrupted sweep is resumed. ``began`` is the
start of the sweep."""

drift = sa.Table(
    "drift",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
)
"""Reported changes to a feed's fields: those that appeared or vanished."""

tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("erased", sa.JSON, nullable=False),
)
"""Time and row counts of each erasure, without the person."""

salt = sa.Table("salt", metadata, sa.Column("value", sa.Text, primary_key=True))
"""The secret salt of digests that leave the store, so that no one can guess a person and compare.
If there are several rows, the smallest value counts."""

gone = sa.Table(
    "gone",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
)
"""Records that a run has found deleted in the source, and whose rows are still in the target."""

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("used", sa.Integer, nullable=False),
)
"""Number of requests per endpoint and hour (counted in hours since 1970)."""

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", SERIAL, primary_key=True),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("received", sa.DateTime, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    sa.Column("repeats", sa.Integer, nullable=False, server_default="0"),
)
"""Acknowledged webhook deliveries, without their bodies. ``identity`` is a digest by which a
repeated delivery is recognised, ``repeats`` the number of repetitions."""
sa.Index("ix_delivery_identity", delivery.c.identity)
sa.Index("ix_delivery_received", delivery.c.received)

hint = sa.Table(
    "hint",
    metadata,
    sa.Column("seq", SERIAL, primary_key=True),
    sa.Column("delivery", SERIAL),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("feed", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("received", sa.DateTime, nullable=False),
    sa.Column("announced", sa.DateTime),
    sa.Column("times", sa.Integer, nullable=False, server_default="0"),
    sa.Column("heard", sa.DateTime),
    sa.Column("run", sa.Text),
    sa.Column("taken", sa.DateTime),
)
"""Hints: notices to a process that a record has changed (``reconciliation/hints.py``).

``heard`` is the time at which a ``run`` had processed the hint: it had read the record and loaded
its changes. ``taken`` is the time at which a run began to read the record; any notice after that is
a new hint. ``announced`` is the time at which Prefect was last notified, ``times`` how often it
was.
"""
sa.Index("ix_hint_waiting", hint.c.heard, hint.c.process, hint.c.key)
sa.Index("ix_hint_delivery", hint.c.delivery)

refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)
"""Number of deliveries that the receiver has refused, per day (UTC) and reason, without their
content."""

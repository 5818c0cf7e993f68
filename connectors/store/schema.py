"""The tables of the sync store. Moments are UTC, without offset. It holds personal data: guard it
like HR itself."""

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
"""The hash of each source record as it was when it last needed nothing more."""

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
"""Which accessplanit record is which HR record. origin: matched (by rule, or created) or set (by a
person)."""

agreement = sa.Table(
    "agreement",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("value", sa.Text),
    sqlite_with_rowid=False,
)
"""What both sides last agreed on, of the fields that both may change, in accessplanit's terms: of
the record ``key`` of accessplanit the ``field`` by accessplanit's name."""

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
    sa.Column("note", sa.Text),
    sa.Column("fingerprint", sa.Text),
)
"""Records that did not go through, by stage (``settle.QUARANTINE``).

status: open, replayed (went through later), vanished (the source has it no more) or discarded (by a
person; ``note`` says why). An open entry without ``next_attempt`` waits for a person, or for its
record to change. fingerprint: the scope that it was read with; null if a person has entered it.
"""

scope = sa.Table(
    "scope",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("used", sa.DateTime, nullable=False),
)
"""What a process was each time that its filters or mapping were others (``ProcessSpec`` as JSON),
and when it was last so."""
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
"""Whole plans as Arrow IPC files, lz4-compressed.

status: carried (a run has carried it out, or tried), made (by hand, to be applied), waiting (for
approval until ``until`` in the Prefect run ``flow_run``), applied, rejected, stale. draft: what
applying it needs beside the frames. redacted: rows of somebody who was forgotten are no longer in
it, and its digest no longer fits. run: the run that has begun to apply it; while that run holds its
lease, nobody else decides on the plan.
"""
sa.Index("ix_plan_status", plan.c.process, plan.c.status)

plan_part = sa.Table(
    "plan_part",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""The further frames of a plan that waits to be applied."""

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
"""Changes ``start`` to ``stop`` of a plan, written down before they are sent; ``closed`` when their
receipts were. segmented: what they say of rows is in ``segment``."""
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
"""Append-only, until it is past its retention: what became of every change. ``intent`` has run,
plan and moment; ``place`` is the row in the plan, which has before and after until it is pruned.
key: of the HR row. person: of the accessplanit user it belongs to."""
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
"""Versions of rows (``reconciliation/versions.py``) as Arrow IPC files, ``rows`` of them, the last
known from ``until`` on: those of plans that were pruned, and what was seen in the target though no
run had written it."""
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
"""Every run and its figures; no personal data. outcome: completed, failed, stopped, skipped; none
while it runs or if it was killed. flow_run: Prefect's ID of it."""
sa.Index("ix_run_process", run.c.process, run.c.started)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("until", sa.DateTime, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False, server_default="0"),
)
"""Which run of a process may write, and until when unless it renews the lease. run: empty after the
lease was given back. token: a number that grows each time the lease is taken."""

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
"""The parts of a sweep that is under way, so that an interrupted one is taken up. began: when the
sweep did."""

drift = sa.Table(
    "drift",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
)
"""Fields of a feed that appeared or vanished and were reported."""

tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("erased", sa.JSON, nullable=False),
)
"""That somebody was forgotten, when, and how many rows that took; not who."""

salt = sa.Table("salt", metadata, sa.Column("value", sa.Text, primary_key=True))
"""One row: what is mixed into digests that leave the store, so that nobody guesses from them whom
they are about."""

gone = sa.Table(
    "gone",
    metadata,
    sa.Column("process", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
)
"""Records that the source has no more, as a sweep has found out by asking for them, and whose row
the target still has."""

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("used", sa.Integer, nullable=False),
)
"""Requests made per endpoint and hour (number of hours since 1970)."""

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
"""Deliveries of webhooks that were acknowledged; not their bodies. identity: a digest by which the
same one is known again. repeats: how often it came again."""
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
"""What was said of a record to a process (``reconciliation/hints.py``), and when a ``run`` has
``heard`` it: has read the record and loaded what there was to load. taken: when a run began to read
the record because of it: what is said of the record from then on is news. announced: when Prefect
was last told, ``times``: how often."""
sa.Index("ix_hint_waiting", hint.c.heard, hint.c.process, hint.c.key)
sa.Index("ix_hint_delivery", hint.c.delivery)

refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)
"""How many deliveries the receiver has refused on a day (UTC), and why; nothing of what they
held."""

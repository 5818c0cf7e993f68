"""Detects files in the inbox that are still being written, by comparing listings at different times
of our own clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from ..sql import speaking
from .files import Entry
from .schema import answer_look as look


def rested(engine: sa.Engine, inbox: str, files: Sequence[Entry]) -> dict[str, float]:
    """Maps the name of each file to the seconds for which it has been seen in its current state.

    A file that is new or has changed since the last listing gets 0. The server's clock is not used.
    States are kept in the database, so that those seen by another run or by the receiver count.
    States of files that are not in ``files`` are deleted.

    Raises:
        TargetFailed: the database cannot be used.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    this_inbox = look.c.inbox == inbox
    with speaking(), engine.begin() as connection:
        known = {
            Entry(row.name, row.size, row.written): row.since
            for row in connection.execute(sa.select(look).where(this_inbox))
        }
        # A state seen in the future was stored before the clock was set back: it does not count.
        labelled = [file._replace(name=file.label) for file in files]
        since = {file: known[file] for file in labelled if file in known and known[file] <= now}
        fresh = [file for file in labelled if file not in since]
        old = {file.name for file in known} - {file.name for file in since}
        if old:
            connection.execute(
                look.delete().where(this_inbox, look.c.name == sa.bindparam("old")),
                [{"old": name} for name in old],
            )
        if fresh:
            # Another run may insert the same file at the same time.
            connection.execute(
                look.insert().prefix_with("OR REPLACE"),
                [{**file._asdict(), "inbox": inbox, "since": now} for file in fresh],
            )
    return {
        file.name: (now - since.get(state, now)).total_seconds()
        for file, state in zip(files, labelled, strict=True)
    }

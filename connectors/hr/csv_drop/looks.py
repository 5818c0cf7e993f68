"""Whether a file of the inbox is still being written: two looks at it, by our own clock, tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from ..sql import speaking
from .files import Entry
from .schema import answer_look as look


def rested(engine: sa.Engine, inbox: str, files: Sequence[Entry]) -> dict[str, float]:
    """Name -> seconds for which the file has been seen as it is now.

    The clock of the place plays no part: a file that is new or has changed since the last look has
    not rested at all. Looks are kept in the database, so that those of another run, or of the
    receiver, count; those at files of the inbox that are not in ``files`` are forgotten.

    Raises:
        TargetFailed: the database cannot be used.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    mine = look.c.inbox == inbox
    with speaking(), engine.begin() as connection:
        known = {
            Entry(row.name, row.size, row.written): row.since
            for row in connection.execute(sa.select(look).where(mine))
        }
        # A look that lies ahead is of a clock that was put back since.
        labelled = [file._replace(name=file.label) for file in files]
        since = {file: known[file] for file in labelled if file in known and known[file] <= now}
        fresh = [file for file in labelled if file not in since]
        old = {file.name for file in known} - {file.name for file in since}
        if old:
            connection.execute(
                look.delete().where(mine, look.c.name == sa.bindparam("old")),
                [{"old": name} for name in old],
            )
        if fresh:
            # Another run may look at the same moment.
            connection.execute(
                look.insert().prefix_with("OR REPLACE"),
                [{**file._asdict(), "inbox": inbox, "since": now} for file in fresh],
            )
    return {
        file.name: (now - since.get(seen, now)).total_seconds()
        for file, seen in zip(files, labelled, strict=True)
    }

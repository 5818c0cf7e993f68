"""Implements an HR system over CSV files: rows are read from the mirror, changes are delivered as
files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from reconciliation.errors import Refused
from reconciliation.frame import arrow, concat, of, strings
from reconciliation.person import Erased, Person
from reconciliation.receipts import RECEIPTS
from reconciliation.snapshot import REJECTED, Snapshot

from ..cells import unwritable
from ..schema import mandatory_of
from ..sql import SqlHr, speaking
from . import forget, inbox, text
from .mirror import opened
from .places import Place, ReadOnly, place
from .schema import answer_line, delivery
from .settings import CsvDropSettings, capabilities_of

REMEMBERED = 1_000
"""Number of past deliveries that are kept. The last one is needed for the next sequence number."""


class CsvDrop:
    """Implements :class:`reconciliation.ports.HrSystem` over files and a mirror of the delivered
    rows.

    Changes are written to the mirror and to the table ``delivery`` in one transaction. Then the
    file is put into the outbox, and its manifest last. If that fails, the next run delivers the
    file first, under the same name: HR may see a file twice, but never misses one.
    """

    batch = 1_000_000
    """Large enough for one file per run. An interruption undoes the transaction, so no batch is
    left in doubt."""

    def __init__(self, mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
        self.mirror, self.place, self.settings = mirror, place, settings
        self.name, self.capabilities = place.name, capabilities_of(settings)
        self._begun = False

    @classmethod
    def of(cls, settings: CsvDropSettings, home: Path) -> CsvDrop:
        """Opens the drop with its mirror ``hr-mirror.db`` below ``home``."""
        return cls(opened(home), place(settings, home), settings)

    def close(self) -> None:
        """Closes the mirror and the connection."""
        self.place.close()
        self.mirror.close()

    @contextmanager
    def untouched(self) -> Iterator[CsvDrop]:
        """Yields the drop with a copy of its mirror in memory, for a preview: waiting answer files
        are read but not moved, and nothing is delivered."""
        copy = SqlHr("sqlite://")
        with speaking(), self.mirror.engine.connect() as original, copy.engine.connect() as target:
            source: Any = original.connection.driver_connection
            source.backup(target.connection.driver_connection)
        try:
            yield CsvDrop(copy, ReadOnly(self.place), self.settings)
        finally:
            copy.close()

    def forget(self, person: Person) -> Erased:
        """Erases a person from the mirror, from undelivered files and from the archive, and lists
        files handed to HR that name the person. Reads no answers and delivers nothing."""
        return forget.forget(self.mirror, self.place, self.settings, person)

    def population(self, entity: str) -> int:
        """Returns the number of rows in the mirror."""
        self._begin()
        return self.mirror.population(entity)

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Reads rows from the mirror. Lines of answer files that could not be read are rejected."""
        self._begin()
        rows = self.mirror.read(entity, columns, lookups, since)
        a = answer_line.c
        query = (
            sa.select(a.key, a.field, a.reason, a.raw, sa.null())
            .where(a.entity == entity)
            .order_by(a.id)
        )
        with speaking(), self.mirror.engine.connect() as connection:
            lines = of(REJECTED, [tuple(row) for row in connection.execute(query)])
        if lookups is not None:
            wanted = [value for values in lookups.values() for value in values]
            lines = lines[lines["key"].isin(wanted)]
        return Snapshot(rows.frame, rejected=concat([rows.rejected, lines.reset_index(drop=True)]))

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts of changes that lack a mandatory value, whose text could not be read
        back, or whose text the encoding of the files cannot hold."""
        reasons: dict[str, str] = {}
        for name in (n for n in changes.columns if pa.types.is_string(arrow(changes[n]).type)):
            for key, value in zip(changes["key"], strings(changes[name]), strict=True):
                try:
                    (value or "").encode(self.settings.encoding)
                except UnicodeEncodeError:
                    reasons.setdefault(
                        key, f"{name} has a character that {self.settings.encoding} cannot hold"
                    )
        receipts = concat(
            [
                unwritable(changes, mandatory_of(entity)),
                of(RECEIPTS, [(key, "failed", reason, None) for key, reason in reasons.items()]),
            ]
        )
        return receipts.drop_duplicates("key", ignore_index=True)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Writes changes to the mirror and the table ``delivery`` in one transaction, then delivers
        the file.

        Raises:
            Refused: the mirror refuses a row. Nothing was written.
            TargetFailed: the file cannot be delivered now. The next run delivers it first.
        """
        self._begin()
        with speaking(), self.mirror.engine.begin() as connection:
            receipts = self.mirror.write(connection, entity, changes)
            row: dict[str, object] = {"entity": entity, "made": _now()}
            if self.settings.mode == "delta":
                key = self.capabilities.entities[entity].key
                rows = self.mirror.select(
                    connection, entity, self._kinds(entity), {key: changes["key"].tolist()}
                ).frame
                row |= {"rows": len(rows), "content": self._content(entity, rows)}
            connection.execute(delivery.insert().values(row))
        self._deliver()
        return receipts

    def _begin(self) -> None:
        """Finishes earlier work, once: delivers files that are still undelivered, then reads answer
        files."""
        if not self._begun:
            self._deliver()
            inbox.take(self.mirror, self.place, self.settings)
            self._begun = True

    def _deliver(self) -> None:
        """Delivers the undelivered files, oldest first. In full mode only the newest of each entity
        is needed."""
        d = delivery.c
        with speaking(), self.mirror.engine.connect() as connection:
            waiting = connection.execute(
                sa.select(d.sequence, d.entity, d.rows)
                .where(d.delivered.is_(None))
                .order_by(d.sequence)
            ).all()
        newest = {entity: sequence for sequence, entity, _ in waiting}
        for sequence, entity, rows in waiting:
            if self.settings.mode == "delta" or newest[entity] == sequence:
                with speaking(), self.mirror.engine.connect() as connection:
                    content = connection.execute(
                        sa.select(d.content).where(d.sequence == sequence)
                    ).scalar_one()
                if content is None:
                    all_rows = self.mirror.read(entity, self._kinds(entity)).frame
                    self._put(entity, sequence, self._content(entity, all_rows), len(all_rows))
                else:
                    self._put(entity, sequence, content, rows)
            with speaking(), self.mirror.engine.begin() as connection:
                connection.execute(
                    delivery.update()
                    .where(d.sequence == sequence)
                    .values(delivered=_now(), content=None)
                )
                connection.execute(
                    delivery.delete().where(
                        d.delivered.is_not(None), d.sequence <= sequence - REMEMBERED
                    )
                )

    def _put(self, entity: str, sequence: int, content: bytes, rows: int) -> None:
        """Puts a file with ``rows`` rows into the outbox, and its manifest after it."""
        name = self.settings.file_name.format(entity=entity, sequence=sequence)
        path = f"{self.settings.outbox}/{name}"
        manifest = {
            "file": name,
            "entity": entity,
            "mode": self.settings.mode,
            "sequence": sequence,
            "rows": rows,
            "sha256": sha256(content).hexdigest(),
        }
        # Remove the old manifest first, so that no reader checks the new file against it.
        self.place.remove(path + inbox.MANIFEST)
        self.place.put(path, content)
        self.place.put(path + inbox.MANIFEST, json.dumps(manifest, indent=2).encode())

    def _content(self, entity: str, rows: pd.DataFrame) -> bytes:
        """Returns rows as CSV with the configured columns."""
        chosen = self.settings.columns.get(entity) or tuple(rows.columns)
        try:
            return text.written(rows, chosen, self.settings)
        except UnicodeEncodeError:
            raise Refused(f"has a character that {self.settings.encoding} cannot hold") from None

    def _kinds(self, entity: str) -> dict[str, str]:
        return dict(self.capabilities.entities[entity].columns)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)

"""Which accessplanit record is which HR record, and what both sides last agreed on of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reconciliation.errors import Misconfigured
from reconciliation.frame import of, strings
from reconciliation.match import LINKS
from reconciliation.ownership import AGREED
from reconciliation.spec import ProcessSpec

from . import schema as t
from .base import IN, Part, failing, naive, upsert


class Links(Part):
    """The link table."""

    def links(
        self,
        entity: str,
        source_keys: Sequence[str] | None = None,
        target_keys: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The links of these keys; all if none are given."""
        c = t.link.c
        query = sa.select(c.source_key, c.target_key).where(c.entity == entity)
        rows: dict[str, str] = {}
        with failing(), self.engine.connect() as connection:
            if source_keys is None and target_keys is None:
                rows = {r[0]: r[1] for r in connection.execute(query).all()}
            for column, keys in (
                (c.source_key, source_keys or ()),
                (c.target_key, target_keys or ()),
            ):
                for i in range(0, len(keys), IN):
                    rows |= {
                        r[0]: r[1]
                        for r in connection.execute(query.where(column.in_(keys[i : i + IN]))).all()
                    }
        return of(LINKS, rows.items())

    def listed(self, entity: str | None, key: str | None, limit: int) -> list[dict[str, Any]]:
        """Links with their origin, the latest first; of one key on either side, if one is named."""
        c = t.link.c
        query = sa.select(t.link).order_by(c.since.desc(), c.entity, c.source_key).limit(limit)
        query = query.where(c.entity == entity) if entity else query
        query = query.where((c.source_key == key) | (c.target_key == key)) if key else query
        with failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def agreed(self, pair: str, keys: Sequence[str]) -> pd.DataFrame:
        """What both sides last agreed on of these accessplanit records (``ownership.AGREED``)."""
        a = t.agreement.c
        query = sa.select(a.key, a.field, a.value).where(a.pair == pair)
        rows: list[Any] = []
        with failing(), self.engine.connect() as connection:
            rows = (
                list(connection.execute(query))
                if len(keys) > IN
                else list(connection.execute(query.where(a.key.in_(keys))))
            )
        return of(AGREED, [tuple(row) for row in rows])

    def agree(self, connection: sa.Connection, pair: str | None, agreed: pd.DataFrame) -> None:
        """Keeps what both sides agree on from now on."""
        columns = (strings(agreed[name]) for name in AGREED)
        values = [
            {"pair": pair, "key": key, "field": field, "value": value}
            for key, field, value in zip(*columns, strict=True)
        ]
        if values:
            connection.execute(
                upsert(self.engine, t.agreement, list(values[0]), ["pair", "key", "field"]), values
            )

    def settle_conflict(self, pair: str, key: str, field: str, value: str | None) -> None:
        """A person settles a conflict: ``value``, that of the side whose change does not count, is
        what was agreed on."""
        row = {"pair": pair, "key": key, "field": field, "value": value}
        with failing(), self.engine.begin() as connection:
            connection.execute(
                upsert(self.engine, t.agreement, list(row), ["pair", "key", "field"]), row
            )

    def relinked(
        self, connection: sa.Connection, spec: ProcessSpec, links: pd.DataFrame
    ) -> pd.DataFrame:
        """Those of ``links`` (:data:`LINKS`), from accessplanit's side, of which the record or the
        row is linked otherwise still."""
        if not len(links):
            return links
        c = t.link.c
        found = (
            links
            if spec.direction == "to_hr"
            else links.set_axis(["target_key", "source_key"], axis=1)
        )
        known: list[Any] = []
        for column, keys in (
            (c.source_key, strings(found["source_key"])),
            (c.target_key, strings(found["target_key"])),
        ):
            for i in range(0, len(keys), IN):
                query = sa.select(c.source_key, c.target_key).where(
                    c.entity == spec.links, column.in_(keys[i : i + IN])
                )
                known += [tuple(row) for row in connection.execute(query)]
        before = of(LINKS, known)
        touched = found["source_key"].isin(before["source_key"]) | found["target_key"].isin(
            before["target_key"]
        )
        same = (
            found.merge(before.drop_duplicates(), on=list(LINKS), how="left", indicator=True)[
                "_merge"
            ]
            .eq("both")
            .to_numpy()
        )
        return found[touched.to_numpy(dtype=bool) & ~same][list(LINKS)].reset_index(drop=True)

    def tie(
        self, connection: sa.Connection, spec: ProcessSpec, links: pd.DataFrame, now: datetime
    ) -> None:
        """Keeps links that a run has found; one that a person has set stays."""
        sides = (
            ("source_key", "target_key")
            if spec.direction == "to_hr"
            else ("target_key", "source_key")
        )
        rows = zip(*(strings(links[name]) for name in sides), strict=True)
        since = naive(now)
        values = [
            {
                "entity": spec.links,
                "source_key": s,
                "target_key": k,
                "since": since,
                "origin": "matched",
            }
            for s, k in rows
        ]
        if values:
            # Matching has found these rows free: a user who was linked to one of them is deleted
            # or has left.
            c = t.link.c
            theirs = t.link.delete().where(
                c.entity == spec.links, c.origin != "set", c.target_key == sa.bindparam("k")
            )
            connection.execute(
                theirs.where(c.source_key != sa.bindparam("s")),
                [{"k": v["target_key"], "s": v["source_key"]} for v in values],
            )
            statement = upsert(
                self.engine,
                t.link,
                list(values[0]),
                ["entity", "source_key"],
                keep=["since", "origin"],
                where=lambda _: t.link.c.origin != "set",
            )
            connection.execute(statement, values)

    def set_link(self, entity: str, source_key: str, target_key: str, now: datetime) -> None:
        """A person says which HR record a record of accessplanit is.

        Raises:
            Misconfigured: the HR record is linked to another one.
        """
        c = t.link.c
        with failing(), self.engine.begin() as connection:
            taken = sa.select(c.source_key).where(
                c.entity == entity, c.target_key == target_key, c.source_key != source_key
            )
            other = connection.execute(taken).scalar()
            if other is not None:
                raise Misconfigured(
                    f"In {entity}, '{target_key}' is linked to '{other}'",
                    f"If that is wrong, undo it first: hrsync links unset {entity} {other}.",
                )
            row = {
                "entity": entity,
                "source_key": source_key,
                "target_key": target_key,
                "since": naive(now),
                "origin": "set",
            }
            connection.execute(
                upsert(self.engine, t.link, list(row), ["entity", "source_key"]), row
            )

    def unset_link(self, entity: str, source_key: str) -> bool:
        """Removes a link; false if the record has no link. The next run matches the record again,
        by its rules."""
        c = t.link.c
        with failing(), self.engine.begin() as connection:
            return bool(
                connection.execute(
                    t.link.delete().where(c.entity == entity, c.source_key == source_key)
                ).rowcount
            )

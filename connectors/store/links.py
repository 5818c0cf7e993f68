"""Stores links between accessplanit records and HR records, and the last common values of fields
that both sides may change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reconciliation.errors import WrongInput
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
        """Returns the links of these keys, or all links of the entity if neither side's keys are
        given."""
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
        """Returns links with their origin, the latest first. ``key`` limits them to one key of
        either side."""
        c = t.link.c
        query = sa.select(t.link).order_by(c.since.desc(), c.entity, c.source_key).limit(limit)
        query = query.where(c.entity == entity) if entity else query
        query = query.where((c.source_key == key) | (c.target_key == key)) if key else query
        with failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def agreed(self, pair: str, keys: Sequence[str]) -> pd.DataFrame:
        """Returns the last common values of these accessplanit records (``ownership.AGREED``), or
        those of all records if ``keys`` are too many for one query."""
        a = t.agreement.c
        query = sa.select(a.key, a.field, a.value).where(a.pair == pair)
        if len(keys) <= IN:
            query = query.where(a.key.in_(keys))
        with failing(), self.engine.connect() as connection:
            return of(AGREED, [tuple(row) for row in connection.execute(query)])

    def agree(self, connection: sa.Connection, pair: str | None, agreed: pd.DataFrame) -> None:
        """Stores the new common values of both sides."""
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
        """Stores a person's decision on a conflict. ``value`` is that of the side whose change is
        dropped: as the last common value, it makes the other side's value the only change."""
        row = {"pair": pair, "key": key, "field": field, "value": value}
        with failing(), self.engine.begin() as connection:
            connection.execute(
                upsert(self.engine, t.agreement, list(row), ["pair", "key", "field"]), row
            )

    def relinked(
        self, connection: sa.Connection, spec: ProcessSpec, links: pd.DataFrame
    ) -> pd.DataFrame:
        """Returns those of ``links`` (:data:`LINKS`) that replace a stored link of either key, with
        accessplanit as the source side."""
        if not len(links):
            return links
        c = t.link.c
        new = (
            links
            if spec.direction == "to_hr"
            else links.set_axis(["target_key", "source_key"], axis=1)
        )
        stored: list[Any] = []
        for column, keys in (
            (c.source_key, strings(new["source_key"])),
            (c.target_key, strings(new["target_key"])),
        ):
            for i in range(0, len(keys), IN):
                query = sa.select(c.source_key, c.target_key).where(
                    c.entity == spec.links, column.in_(keys[i : i + IN])
                )
                stored += [tuple(row) for row in connection.execute(query)]
        before = of(LINKS, stored)
        touched = new["source_key"].isin(before["source_key"]) | new["target_key"].isin(
            before["target_key"]
        )
        same = (
            new.merge(before.drop_duplicates(), on=list(LINKS), how="left", indicator=True)[
                "_merge"
            ]
            .eq("both")
            .to_numpy()
        )
        return new[touched.to_numpy(dtype=bool) & ~same][list(LINKS)].reset_index(drop=True)

    def tie(
        self, connection: sa.Connection, spec: ProcessSpec, links: pd.DataFrame, now: datetime
    ) -> None:
        """Stores links that a run has found. Links that a person has set are not changed."""
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
            # Matching treats a row as free although it is linked, if the linked user is deleted or
            # has left. Such an outdated link is removed.
            c = t.link.c
            outdated = t.link.delete().where(
                c.entity == spec.links, c.origin != "set", c.target_key == sa.bindparam("k")
            )
            connection.execute(
                outdated.where(c.source_key != sa.bindparam("s")),
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
        """Stores a link that a person sets.

        Raises:
            WrongInput: the HR record is linked to another accessplanit record.
        """
        c = t.link.c
        with failing(), self.engine.begin() as connection:
            taken = sa.select(c.source_key).where(
                c.entity == entity, c.target_key == target_key, c.source_key != source_key
            )
            other = connection.execute(taken).scalar()
            if other is not None:
                raise WrongInput(
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
        """Removes a link. Returns false if the record has none. The next run matches the record
        again by its rules."""
        c = t.link.c
        with failing(), self.engine.begin() as connection:
            return bool(
                connection.execute(
                    t.link.delete().where(c.entity == entity, c.source_key == source_key)
                ).rowcount
            )

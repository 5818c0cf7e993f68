"""The joined feed of a process: its columns, its changes, and what is known if it moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd

from reconciliation.ask import Ask, Range
from reconciliation.frame import of
from reconciliation.ports import Hashes
from reconciliation.run.feed import merged, read_one, with_changes_of_joined_feed
from reconciliation.snapshot import Snapshot
from reconciliation.spec import FieldMap, Join, ProcessSpec

SPEC = ProcessSpec(
    name="course_requests_to_hr",
    title="Course requests to HR",
    feed="UserCourseDate",
    entity="course_requests",
    entity_key="course_request_id",
    person="user_id",
    fields=(FieldMap(source="user_id", target="user_id"),),
    rules=(
        Join(
            feed="Authorisation",
            on=(("user_id", "user_id"),),
            columns=(("venue", "venue"),),
        ),
    ),
)
RECORDS = of({"id": "text", "user_id": "text"}, [("R1", "U1"), ("R2", "U2"), ("R3", None)])
JOINED = of(
    {"id": "text", "user_id": "text", "venue": "text"},
    [("A1", "U1", "Kendal"), ("A2", "U1", "Leeds"), ("A3", None, "York")],
)
TODAY = Range(column="updated_at", low=datetime(2026, 11, 28, tzinfo=UTC))


@dataclass
class Feeds:
    """A source of two feeds."""

    complete: Mapping[str, bool] = field(default_factory=dict)
    """Feed -> whether it can be read in full. Feeds that are missing here can."""
    dated: bool = True
    """Whether the joined feed has the moment of the last change."""
    name: str = "feeds"
    requests: int = 0

    def kinds(self, feed: str) -> Mapping[str, str]:
        return {"id": "text", "user_id": "text", "venue": "text"}

    def updated_column(self, feed: str, column: str | None) -> str | None:
        return column if self.dated else None

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        data: pd.DataFrame = JOINED if feed == "Authorisation" else RECORDS
        return Snapshot(data, self.complete.get(feed, True), read=len(data))


def test_each_record_gets_the_columns_of_the_first_row_with_its_key() -> None:
    read = read_one(Feeds(), SPEC, Ask())
    assert read.frame["id"].tolist() == ["R1", "R2", "R3"]
    assert read.frame["venue"].fillna("-").tolist() == ["Kendal", "-", "-"]
    assert read.complete


def test_law_1_columns_of_a_feed_that_was_not_read_in_full_are_not_believed() -> None:
    """A record whose row in the joined feed did not come would seem to have lost its values."""
    feeds = Feeds(complete={"Authorisation": False})
    assert not read_one(feeds, SPEC, Ask()).complete
    assert not merged(feeds, SPEC, [Snapshot(RECORDS)], complete=True).complete


def test_law_1_records_are_not_passed_over_whose_joined_row_may_have_changed() -> None:
    moving = with_changes_of_joined_feed(
        Feeds(complete={"Authorisation": False}), SPEC, [Ask(range=TODAY)]
    )
    assert not moving.complete
    assert not merged(Feeds(), SPEC, [Snapshot(RECORDS)], complete=moving.complete).complete
    steady = with_changes_of_joined_feed(Feeds(), SPEC, [Ask(range=TODAY)])
    assert steady.complete
    assert merged(Feeds(), SPEC, [Snapshot(RECORDS)], complete=steady.complete).complete


def test_a_changed_row_of_the_joined_feed_asks_for_its_records() -> None:
    window, hint = Ask(range=TODAY), Ask(keys=("A1",), joined=True)
    further = Ask(keys=("U1",), by="user_id", skip_known=False)
    assert with_changes_of_joined_feed(Feeds(), SPEC, [window, hint]).asks == [
        window,
        further,
        further,
    ]
    assert with_changes_of_joined_feed(Feeds(dated=False), SPEC, [window]).asks == [window]

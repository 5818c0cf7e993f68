"""As of a day, and as known at a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from flows import awards_to_hr
from flows._run import Order
from flows.catalogue import PROCESSES
from reconciliation.history import classes as c
from tests.sides import Side
from tests.to_hr import hr_sql

from .plants import PLAIN, TODAY, Plants, ask, spec_of, verdicts


def test_as_of_a_day_and_as_known_at_a_moment(make_side: Callable[..., Side]) -> None:
    """Loaded on one day, renewed and edited later: what was true, what HR showed, what was
    known."""
    side = make_side()
    first = datetime.now(UTC).replace(hour=9, minute=0) - timedelta(days=40)
    for spec in (PROCESSES["users_to_hr"].scoped(), awards_to_hr.SPEC):
        side.run(spec, now=first)
    plants = Plants(side, seed=3)
    old = next(
        r
        for r in plants.single
        if str(r["completed_on"]) < str((first - timedelta(days=60)).date())
    )
    day = date.fromisoformat(str(first.date())) + timedelta(days=10)
    renewal = plants.new_record(
        old["award_record_id"], Passed=f"{day}T00:00:00.000", Expires="2031-01-01T00:00:00.000"
    )
    late = first + timedelta(days=30)
    side.run(awards_to_hr.SPEC, Order(full=True), now=late)

    def state(key: str, **question: Any) -> tuple[str, str, Any, Any]:
        found = ask(side, **question).findings.rows
        (row,) = found[(found["key"] == key) | (found["source_key"] == key)].to_dict("records")
        return str(row["class"]), str(row["cause"]), row["state"], row["target_state"]

    key, before, after = old["award_record_id"], day - timedelta(days=1), day + timedelta(days=1)
    assert state(key, as_of=before)[0] == c.EQUAL
    assert state(key, as_of=before)[2] in ("achieved", "expiring")
    assert state(renewal, as_of=before)[:2] == (c.OUTSIDE, "renewed after the day")
    assert state(renewal, as_of=after)[0] == c.EQUAL
    assert state(key, as_of=after)[2:] == ("superseded", "superseded")
    # On that day HR did not know: the renewal came thirty days after the first load.
    then = datetime(after.year, after.month, after.day, 12, tzinfo=UTC)
    assert state(renewal, as_of=after, known_at=then)[:2] == (
        c.MISSING,
        "arrived after that moment",
    )
    assert state(key, as_of=after, known_at=then)[0] == c.SUPERSEDED
    assert state(renewal, as_of=after, known_at=late + timedelta(hours=1))[0] == c.EQUAL
    assert state(key, as_of=after, known_at=first - timedelta(days=1))[:2] == (
        c.MISSING,
        "arrived after that moment",
    )


@PLAIN
@pytest.mark.loaded
def test_a_look_is_remembered(side: Side) -> None:
    """What somebody did in HR is known from the day on which it was seen, and what was known before
    stays."""
    row = side.rows("awards")[0]
    early = datetime.now(UTC)
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'typed over' WHERE award_record_id = ?",
        row["award_record_id"],
    )
    hr_sql(
        side,
        "INSERT INTO awards (award_record_id, employee_id, award_id, status) VALUES ('HAND', "
        "'E1', 'A1', 'Completed')",
    )
    ask(side)
    versions = side.store.versions(spec_of(side, "awards_to_hr"))
    mine = versions[versions["key"] == row["award_record_id"]]
    assert mine["how"].tolist() == ["written", "seen"]
    assert mine["award_label"].tolist() == [row["award_label"], "typed over"]
    assert versions[versions["key"] == "HAND"]["how"].tolist() == ["seen"]
    assert verdicts(ask(side, known_at=early)) == {}, "nobody knew"
    assert row["award_record_id"] in verdicts(ask(side, known_at=datetime.now(UTC)))
    hr_sql(side, "DELETE FROM awards WHERE award_record_id = 'HAND'")
    before = len(versions)
    ask(side)
    ask(side)
    assert len(side.store.versions(spec_of(side, "awards_to_hr"))) == before + 1, (
        "that it is gone, once"
    )


@pytest.mark.loaded
def test_a_day_that_the_sides_disagree_about_hides_nothing(side: Side) -> None:
    inside, outside = (
        next(
            r["award_record_id"]
            for r in side.rows("awards")
            if str(r["completed_on"]).startswith(f"{TODAY.year - back}-0")
        )
        for back in (1, 2)
    )
    hr_sql(side, "UPDATE awards SET completed_on = '2001-01-01' WHERE award_record_id = ?", inside)
    hr_sql(
        side,
        f"UPDATE awards SET completed_on = '{TODAY.year - 1}-02-02' WHERE award_record_id = ?",
        outside,
    )
    found = verdicts(ask(side, first=date(TODAY.year - 1, 1, 1), last=date(TODAY.year - 1, 12, 31)))
    assert (found[inside], found[outside]) == (
        (c.DIFFERS, "edited in HR"),
        (c.DIFFERS, "edited in HR"),
    )
    assert {name for name, _ in found.values()} <= {c.DIFFERS, c.SUPERSEDED}, (
        "and neither is missing"
    )

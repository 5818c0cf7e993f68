"""What a source is asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from flows import awards_to_hr, users_to_hr
from reconciliation import watermark
from reconciliation.ask import Moment, columns, questions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 11, 23)


def test_only_needed_fields_are_asked_for() -> None:
    asked = columns(users_to_hr.SPEC)
    assert not {"dob", "ni_number"} & set(asked)
    assert {"id", "updated_at", "email", "status"} <= set(asked)


def test_questions_cover_the_window_the_due_and_the_quarantined() -> None:
    mark = watermark.Watermark(datetime(2026, 3, 1, tzinfo=UTC), TODAY - timedelta(1))
    asks = questions(
        awards_to_hr.SPEC,
        watermark.window(mark, timedelta(0)),
        mark,
        Moment(TODAY, NOW),
        ["a"],
        "updated_at",
        False,
    )
    assert [a.skip_known for a in asks] == [True, False, False, False, False], (
        "window, expiry (2), completion, quarantined"
    )
    assert asks[-1].keys == ("a",)
    (whole,) = questions(
        users_to_hr.SPEC,
        watermark.window(mark, timedelta(0)),
        mark,
        Moment(TODAY, NOW),
        [],
        None,
        False,
    )
    assert whole.range is None

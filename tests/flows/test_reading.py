"""What is asked of accessplanit and of HR, and what of it travels."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from connectors.hr.sql import capabilities
from flows.catalogue import PROCESSES
from reconciliation.ask import Moment, columns, questions
from reconciliation.scope import in_scope
from reconciliation.spec import Scope
from reconciliation.watermark import Watermark, Window
from tests.edits import everything, hr, linked, one
from tests.sides import Side

from .prefect_runs import run

pytestmark = pytest.mark.prefect


@pytest.mark.dialects
def test_only_needed_fields_travel(configured: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    answer = configured.sandbox.answer

    def listening(method: str, path: list[str], query: dict[str, str], *rest: Any) -> Any:
        asked.update(query.get("$select", "*").split(","))
        return answer(method, path, query, *rest)

    monkeypatch.setattr(configured.sandbox, "answer", listening)
    everything(configured)
    assert not asked & {"*", "DOB", "NINumber", "Title", "MoodleID", "CF_Payroll_Number"}


@pytest.fixture
def dialect_of_hr(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | None], None]:
    def choose(column: str | None) -> None:
        monkeypatch.setenv("HRSYNC_SQL__UPDATED_COLUMN", column or "null")

    return choose


@pytest.mark.parametrize("column", ["written_at", None], ids=["updated date", "content"])
def test_hr_tells_what_has_changed_by_date_or_by_content(
    configured: Side, dialect_of_hr: Callable[[str | None], None], column: str | None
) -> None:
    side = configured
    dialect_of_hr(column)
    side.target.capabilities = capabilities(column)
    everything(side)
    employee_, user = linked(side)
    past = (datetime.now() - timedelta(days=9)).isoformat(sep=" ")
    hr(side, "UPDATE employees SET written_at = ?", past)
    hr(side, "UPDATE employees SET job_title = 'Rigger' WHERE employee_id = ?", employee_)
    state = run("users_from_hr")
    assert "1 updated" in str(state.message)
    assert one(side, user)["JobTitle"] == "Rigger"
    hr(
        side,
        "UPDATE employees SET job_title = 'Diver', written_at = ? WHERE employee_id = ?",
        "2020-01-01 00:00:00",
        employee_,
    )
    state = run("users_from_hr")
    assert ("1 updated" in str(state.message)) == (column is None), (
        "a moment that lies is found by a sweep, or by content"
    )
    run("users_from_hr", run={"sweep": True})
    assert one(side, user)["JobTitle"] == "Diver"


def scopes() -> list[Any]:
    """Every process to HR with its defaults and with its optional filters."""
    given = {
        "users_to_hr": [{}, {"companies": ["DOUG900E", "MERI901E"]}, {"statuses": ["New"]}],
        "awards_to_hr": [{}, {"statuses": ["In Progress", "On Hold"]}],
        "award_targets_to_hr": [{}, {"future_targets_only": True}],
        "delegates_to_hr": [
            {},
            {"companies": ["DOUG900E"], "statuses": ["Booked"]},
            {"training_providers": ["DOUG900E"], "courses": ["CRS001"]},
        ],
        "course_requests_to_hr": [{}, {"companies": ["DOUG900E"]}],
        "assignments_to_hr": [{}, {"roles": ["JR01", "JR02"]}],
    }
    return [(name, filters) for name, every in given.items() for filters in every]


@pytest.mark.parametrize(("name", "filters"), scopes(), ids=str)
@pytest.mark.dialects
def test_what_the_source_filters_and_the_rest_is_the_whole_filter(
    side: Side, name: str, filters: dict[str, Any]
) -> None:
    """Read with the filter pushed down, then filtered here: the same as all of it filtered here,
    and fewer rows."""
    spec = PROCESSES[name].scoped(**filters)
    now = datetime.now(UTC)
    source, wanted = side.source(), columns(spec)
    when, mark = Moment(now.date(), now), Watermark()
    (pushed,) = questions(spec, Window(None), mark, when, (), "updated_at", first=True)
    (plain,) = questions(
        spec.model_copy(update={"scope": Scope()}),
        Window(None),
        mark,
        when,
        (),
        "updated_at",
        first=True,
    )
    none = np.empty(0, dtype=np.int64)
    some, everybody = (
        source.read(spec.feed, wanted, (), ask, none, "0").frame for ask in (pushed, plain)
    )
    found = [
        sorted(rows["id"][in_scope(rows, spec.scope, now.date(), now)])
        for rows in (some, everybody)
    ]
    assert found[0] == found[1]
    assert len(found[0]) <= len(some) <= len(everybody)
    if pushed.clauses or pushed.also:
        assert len(some) == len(found[0]) < len(everybody), (
            "all of this filter is one that the API can do"
        )

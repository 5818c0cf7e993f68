"""A plan past its guard, under a real Prefect server: suspended, asked, approved, rejected,
refused, timed out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from markdown_it import MarkdownIt
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Cancelled

from connectors.store import schema as t
from connectors.store.base import packed
from flows import users_to_hr
from reconciliation.errors import StalePlan
from reconciliation.report import RunReport
from reconciliation.spec import Guard, Limit
from tasks.approval import form_text
from tests.commands import hrsync
from tests.sides import Side
from tests.to_hr import hr_sql, sandbox_sql

from .prefect_runs import begin, form, work

pytestmark = pytest.mark.prefect


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


@pytest.fixture
def client(configured: Side) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that a rename of all companies passes."""
    tight = users_to_hr.SPEC.model_copy(
        update={"guard": Guard(update=Limit(percent=10, absolute=5))}
    )
    monkeypatch.setattr(users_to_hr, "SPEC", tight)


def rename(side: Side, to: str) -> None:
    later = (side.sandbox.now() + timedelta(seconds=1)).isoformat(timespec="milliseconds")
    sandbox_sql(side, 'UPDATE "User" SET MainCompanyName = ?, DateUpdated = ?', to, later)


def test_text_from_outside_is_shown_in_the_form_as_it_is() -> None:
    odd = "**b** ![x](http://evil.example/a.png) &lt;"
    report = RunReport("users_to_hr", "apply", odd, datetime(2026, 1, 1, tzinfo=UTC))
    text = form_text(report, {"update": 1}, ("HR", 2), "feed", [f"{odd} would be emptied"])
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert shown.count("![x](http://evil.example/a.png) &amp;lt;") == 2
    assert "<img" not in shown


def suspended(client: SyncPrefectClient, side: Side, to: str = "Renamed") -> tuple[UUID, str]:
    """A run that waits for an approval, and the digest of its plan."""
    side.users()
    rename(side, to)
    run = begin(client)
    state = work(client, run)
    assert (state.name, state.is_paused()) == ("Suspended", True)
    (draft,) = side.store.drafts()
    return run, draft["digest"]


def answer(client: SyncPrefectClient, run: UUID, decision: str, digest: str) -> State[Any]:
    client.resume_flow_run(run, run_input={"decision": decision, "digest": digest})
    return work(client, run)


def companies(side: Side) -> set[str]:
    return {r["company_name"] for r in side.rows("employees")}


def test_the_form_shows_counts_and_digest_and_approving_applies_exactly_that_plan(
    client: SyncPrefectClient, configured: Side
) -> None:
    run, digest = suspended(client, configured)
    schema, text = form(client, run)
    assert schema["properties"]["decision"]["enum"] == ["approve", "reject"]
    assert schema["properties"]["digest"]["default"] == digest
    employees = len(configured.rows("employees"))
    for said in (
        digest,
        f"update | {employees:,}",
        "more than 10 %",
        f"HR, rows of this process | {employees:,}",
    ):
        assert said in text, said
    assert "Renamed" not in companies(configured)
    assert f"an approval in the Prefect run {run}" in hrsync("status")
    sandbox_sql(configured, "UPDATE \"User\" SET MainCompanyName = 'Later'")
    state = answer(client, run, "approve", digest)
    assert state.is_completed(), state
    assert f"{employees} updated" in str(state.message)
    assert companies(configured) == {"Renamed"}, "what was approved, not what has come since"
    name = f"Users to HR: {employees:,} updated (approved)"
    assert client.read_flow_run(run).name == name
    later = begin(client, run={"hinted": True})
    assert work(client, later).name == "Skipped"
    assert client.read_flow_run(later).name == "Users to HR: skipped (webhook)"


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_a_question_that_nobody_can_answer_any_more_counts_as_rejected(
    client: SyncPrefectClient, configured: Side, how: str
) -> None:
    run, digest = suspended(client, configured)
    assert work(client, begin(client)).name == "Skipped", "it waits for an answer"
    if how == "cancelled":
        client.set_flow_run_state(run, Cancelled(), force=True)
    else:
        client.delete_flow_run(run)
    state = work(client, begin(client))
    assert state.name == "Rejected"
    assert f"The plan {digest} counts as rejected" in str(state.message)
    assert work(client, begin(client)).name == "Suspended", "it is asked anew"


def test_rejecting_ends_the_run_with_nothing_written(
    client: SyncPrefectClient, configured: Side
) -> None:
    run, digest = suspended(client, configured)
    before = configured.dump()
    state = answer(client, run, "reject", digest)
    assert (state.name, state.is_cancelled()) == ("Rejected", True)
    assert "Nothing was written" in str(state.message)
    assert configured.dump() == before
    with pytest.raises(StalePlan, match="is already rejected"):
        configured.store.draft(digest)
    again = begin(client)
    assert work(client, again).name == "Suspended", "the next run asks anew"


def test_another_digest_is_not_approved(client: SyncPrefectClient, configured: Side) -> None:
    run, _ = suspended(client, configured)
    before = configured.dump()
    state = answer(client, run, "approve", "0" * 16)
    assert state.is_failed()
    assert "The plan 0000000000000000 was approved, but" in str(state.message)
    assert configured.dump() == before


def test_a_tampered_plan_is_refused(client: SyncPrefectClient, configured: Side) -> None:
    run, digest = suspended(client, configured)
    before = configured.dump()
    plan = configured.store.plan(digest)
    assert plan is not None
    with configured.store.engine.begin() as connection:
        changed = plan.changes.assign(email="mallory@x.example")
        connection.execute(
            t.plan.update().where(t.plan.c.digest == digest).values(changes=packed(changed))
        )
    state = answer(client, run, "approve", digest)
    assert state.is_failed()
    assert "has been altered" in str(state.message)
    assert configured.dump() == before


def test_a_stale_plan_is_refused_and_made_anew(client: SyncPrefectClient, configured: Side) -> None:
    run, digest = suspended(client, configured)
    hr_sql(
        configured,
        "UPDATE employees SET job_title = 'typed' WHERE employee_id = (SELECT min(employee_id) "
        "FROM employees)",
    )
    before = configured.dump()
    state = answer(client, run, "approve", digest)
    assert state.name == "Suspended", "it asks again, about the plan that is right now"
    assert configured.dump() == before
    (draft,) = configured.store.drafts()
    assert draft["digest"] != digest
    state = answer(client, run, "approve", draft["digest"])
    assert state.is_completed()
    assert companies(configured) == {"Renamed"}


def test_while_a_plan_waits_later_runs_do_not_ask_again(
    client: SyncPrefectClient, configured: Side
) -> None:
    run, digest = suspended(client, configured)
    rename(configured, "Renamed twice")
    state = work(client, begin(client))
    assert (state.name, state.is_completed()) == ("Skipped", True)
    assert f"the plan {digest} waits for an approval in the Prefect run {run}" in str(state.message)
    assert answer(client, run, "approve", digest).is_completed()
    assert companies(configured) == {"Renamed"}
    assert work(client, begin(client)).name == "Suspended"


def test_an_approval_that_does_not_come_is_a_rejection(
    client: SyncPrefectClient, configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRSYNC_APPROVAL_HOURS", "0.0003")
    run, digest = suspended(client, configured)
    before = configured.dump()
    datetime_now = datetime.now(UTC)
    while datetime.now(UTC) < datetime_now + timedelta(seconds=1.2):
        pass
    response = client.resume_flow_run(run, run_input={"decision": "approve", "digest": digest})
    # ABORT: the server has noticed by itself that the time is over, and the run no longer waits.
    assert response.status.value in ("REJECT", "ABORT")
    state = client.read_flow_run(run).state
    assert state is not None
    assert state.is_failed()
    assert configured.dump() == before
    assert work(client, begin(client)).name == "Suspended", "the next run asks anew"


def test_from_the_command_line_a_plan_is_kept_and_applied_by_digest(configured: Side) -> None:
    shown = hrsync("plan", "users_to_hr", "--out")
    digest = shown.rpartition("hrsync apply ")[2].strip()
    assert len(digest) == 16
    assert configured.rows("employees") == []
    assert "created" in hrsync("apply", digest)
    assert len(configured.rows("employees")) > 100
    assert f"The plan {digest} is already applied" in hrsync("apply", digest, code=1)
    rename(configured, "Renamed")
    shown = hrsync("run", "users_to_hr", code=1)
    digest = shown.rpartition("hrsync apply ")[2].strip()
    assert "was stopped by its guard" in shown
    assert digest in hrsync("status")
    hr_sql(
        configured,
        "UPDATE employees SET job_title = 'typed' WHERE employee_id = (SELECT min(employee_id) "
        "FROM employees)",
    )
    before = configured.dump()
    told = hrsync("apply", digest, code=1)
    assert "HR has moved since the plan" in told
    fresh = told.partition("Review the new plan ")[2].split()[0]
    assert configured.dump() == before
    assert f"The plan {fresh} is rejected" in hrsync("reject", fresh)
    assert "is already rejected" in hrsync("apply", fresh, code=1)
    assert "There is no plan feed to apply" in hrsync("apply", "feed", code=1)


def test_a_late_run_of_a_schedule_does_nothing(
    client: SyncPrefectClient, configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime.now(UTC) - timedelta(minutes=30)
    assert work(client, begin(client, scheduled=due)).name == "Completed"
    assert work(client, begin(client, scheduled=due)).name == "Completed", (
        "one that was started by hand works though nothing is due"
    )
    # Only the server's scheduler makes runs that are marked as scheduled.
    get = FlowRunContext.get

    def marked() -> Any:
        context = get()
        return context and SimpleNamespace(
            flow_run=context.flow_run.model_copy(update={"auto_scheduled": True})
        )  # type: ignore[union-attr]

    monkeypatch.setattr("tasks.approval.FlowRunContext", SimpleNamespace(get=marked))
    configured.sandbox.requests.clear()
    state = work(client, begin(client, scheduled=due))
    assert (state.name, "has done its work" in str(state.message)) == ("Skipped", True)
    assert sum(configured.sandbox.requests.values()) == 0


def test_what_is_unforeseen_outside_the_steps_tells_nothing_of_a_person(
    client: SyncPrefectClient, configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, digest = suspended(client, configured)

    def broken(*_: Any) -> Any:
        raise ValueError("Jasmine Smith")

    monkeypatch.setattr("connectors.store.sql.SyncStore.draft", broken)
    state = answer(client, run, "approve", digest)
    assert "An unforeseen ValueError at test_approval.py" in str(state.message)
    assert "Jasmine" not in str(state.message)

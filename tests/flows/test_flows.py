"""The flows under a real Prefect server: runs, artifacts, failures, discretion."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError

from connectors.settings import load
from flows.catalogue import FLOWS as PREFECT_FLOWS
from flows.catalogue import PROCESSES, WAVES
from flows.options import RunOptions
from flows.retention import retention
from reconciliation.errors import Misconfigured
from reconciliation.processes import NAMES
from sandbox.faults import Faults
from tasks.blocks import Accessplanit, accessplanit_settings
from tests.sides import Side

from .prefect_runs import artifacts, newest_run

pytestmark = pytest.mark.prefect


def run(name: str, **parameters: Any) -> State[Any]:
    state: State[Any] = PROCESSES[name].flow(**parameters, return_state=True)
    return state


def test_flows_run_and_publish_counts_that_add_up(configured: Side) -> None:
    for name, flow in PREFECT_FLOWS.items():
        state = flow(return_state=True)
        assert state.is_completed(), (name, state)
        assert ("created" in str(state.message)) == (not name.endswith("_from_hr")), (
            "HR has nothing of its own yet"
        )
        if name.endswith("_to_hr"):
            assert configured.base_url in str(state.message), "the run says which tenant it is"
    assert configured.differences() == []
    found = artifacts()
    assert re.search(
        r"again: [\d,]+ in all, which is the sum of the outcomes\.", found["users-to-hr-summary"]
    )
    assert "watermark after" in found["awards-to-hr-summary"]
    assert "waits until this user" in found["awards-to-hr-quarantine"]
    assert "compliant" in found["role-compliance-counts"], "counts, and nobody's name"
    plan = run("users_to_hr", run={"mode": "plan", "full": True})
    assert str(plan.message).startswith("Preview only.")


def test_a_failure_is_one_sentence_and_no_data(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HRSYNC_ACCESSPLANIT__API_KEY", "not-the-key")
        state = run("users_to_hr")
        assert state.is_failed()
        assert (
            "CredentialsRefused: accessplanit does not accept the API key (401). Ask the "
            "accessplanit administrator" in str(state.message)
        )
        assert "not-the-key" not in str(state.message)
    with monkeypatch.context() as patch:
        patch.setenv("HRSYNC_SQL__URL", "sqlite:////proc/nowhere/hr.db")
        state = run("users_to_hr")
        assert state.is_failed()
        assert "TargetFailed: The HR database cannot be used" in str(state.message)
    configured.sandbox.faults = Faults(rate=1.0, kinds=("503",))
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT__ATTEMPTS", "1")
    state = run("users_to_hr")
    assert "SourceFailed: accessplanit answered 503" in str(state.message)


def test_credentials_may_be_a_block(configured: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    Accessplanit(base_url=configured.base_url, api_key="sandbox-key").save("tenant", overwrite=True)  # type: ignore[arg-type]
    monkeypatch.delenv("HRSYNC_ACCESSPLANIT__BASE_URL")
    monkeypatch.delenv("HRSYNC_ACCESSPLANIT__API_KEY")
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT_BLOCK", "tenant")
    assert run("users_to_hr").is_completed()
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT_BLOCK", "no-such-block")
    with pytest.raises(
        Misconfigured,
        match=r"accessplanit/no-such-block does not exist.*Create it in the Prefect UI",
    ):
        accessplanit_settings(load())


def test_the_catalogue_has_the_processes_that_are_declared() -> None:
    assert tuple(PROCESSES) == NAMES
    assert all(chosen.scoped().name == name for name, chosen in PROCESSES.items())
    for chosen in PROCESSES.values():
        known, default = chosen.scoped(), chosen.narrowed(chosen.filters())
        assert known == default == chosen.narrowed(chosen.filters.of({}))


def test_the_first_runs_are_all_flows() -> None:
    assert {name for wave in WAVES for name in wave} == set(PREFECT_FLOWS)


def test_retention_prunes_what_is_old(configured: Side) -> None:
    configured.run(PROCESSES["users_to_hr"].scoped(), now=datetime.now(UTC) - timedelta(days=91))
    configured.awards()
    state = retention(return_state=True)
    pruned = (
        "0 ledger, 0 filters, 0 versions, 1 plans, 0 plan parts, 0 quarantine, 1 runs, 0 "
        "sweeps, 0 hints, 0 leases, 0 deliveries"
    )
    assert state.message == f"Pruned: {pruned}, 0 refusals, 0 budget, 0 reports."
    told = configured.store.story(configured.rows("employees")[0]["employee_id"])
    assert [e["kind"] for e in told] == ["create"], "the ledger itself stays"
    assert configured.users().written == 0, "and nothing is loaded again"


def test_the_form_is_typed_grouped_and_explained() -> None:
    for name, flow in PREFECT_FLOWS.items():
        assert set(flow.parameters.properties) == {"filters", "run"}, name
        for group in flow.parameters.definitions.values():
            assert group["additionalProperties"] is False, "a misspelt name is refused"
            for field in group["properties"].values():
                assert field["description"], (name, field)
                assert field.get("type") != "array" or field["default"] == []
    groups = PREFECT_FLOWS["users_to_hr"].parameters.definitions
    assert groups["RunOptions"]["properties"]["mode"]["enum"] == ["apply", "plan"]
    assert groups["Filters"]["properties"]["leavers"]["enum"] == ["ignore", "close"]
    assert "Enabled and New" in groups["Filters"]["properties"]["statuses"]["description"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hinted": True, "full": True}, "webhooks named, full reads everything"),
        ({"hinted": True, "sweep": True}, "webhooks named, sweep reads everything"),
        ({"since": "2026-01-01", "sweep": True}, "from a moment on, sweep reads"),
        ({"since": "2026-01-01", "full": True}, "from a moment on, full reads"),
        ({"approve": "0" * 16, "mode": "plan"}, "reads nothing, mode plan writes nothing"),
        ({"approve": "0" * 16, "sweep": True}, "reads nothing, sweep reads"),
        ({"swep": True}, "There is no option 'swep'. Use one of mode, approve, since"),
        ({"since": "Jasmine"}, "The value of 'since' is not a date and time"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        RunOptions.of(options)
    assert says in str(refused.value)
    assert "Jasmine" not in str(refused.value)
    with pytest.raises(ParameterTypeError) as refused_by_prefect:
        PREFECT_FLOWS["users_to_hr"].validate_parameters({"run": options})
    assert "Jasmine" not in str(refused_by_prefect.value)


def test_the_name_of_a_run_says_what_it_is_and_what_it_did(configured: Side) -> None:
    run("users_to_hr", run={"mode": "plan"})
    people = len(configured.rows("employees"))
    assert re.fullmatch(r"Users to HR: [\d,]+ created \(preview\)", newest_run().name)
    assert people == 0
    run("users_to_hr")
    assert newest_run().name == f"Users to HR: {len(configured.rows('employees')):,} created"
    run("users_to_hr", run={"sweep": True})
    assert newest_run().name == "Users to HR: no changes (sweep)"
    run("users_to_hr", run={"hinted": True})
    assert newest_run().name == "Users to HR: skipped (webhook)"
    run("job_roles_to_hr")
    both = len(configured.rows("job_roles")) + len(configured.rows("assignments"))
    assert newest_run().name == f"Job roles to HR: {both:,} created"
    configured.sandbox.faults = Faults(reads="403")
    run("users_to_hr", run={"full": True})
    assert newest_run().name == "Users to HR (full)", "a run that failed has done nothing"

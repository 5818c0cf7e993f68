"""The deployments of prefect.yaml, with their schedules and triggers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.catalogue import FLOWS as PREFECT_FLOWS
from flows.local.deployments import deploy
from flows.reconcile_history import reconcile_history
from flows.retention import retention
from reconciliation.errors import Misconfigured

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())[
    "deployments"
]
FLOWS: dict[str, Any] = {
    **PREFECT_FLOWS,
    "retention": retention,
    "reconcile_history": reconcile_history,
}
ON_DEMAND = {"reconcile-history"}
KEYS = {
    "name",
    "description",
    "entrypoint",
    "tags",
    "parameters",
    "work_pool",
    "concurrency_limit",
    "schedules",
    "triggers",
}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_every_deployment_loads_its_flow_and_says_what_prefect_understands(
    deployment: dict[str, Any],
) -> None:
    assert set(deployment) <= KEYS, "Prefect ignores unknown keys in silence"
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    assert flow is FLOWS[name]
    assert deployment["name"] == name.replace("_", "-")
    flow.validate_parameters(deployment["parameters"])
    slugs = [schedule["slug"] for schedule in deployment["schedules"]]
    assert len(slugs) == len(set(slugs))
    assert (len(slugs) == 0) == (deployment["name"] in ON_DEMAND)
    for schedule in deployment["schedules"]:
        assert set(schedule) <= {"slug", "cron", "timezone", "parameters"}
        # By the minute or hour in UTC, at night in the tenant's zone: test_schedules.py.
        assert schedule["timezone"] == (
            "UTC" if schedule["cron"].split()[1] == "*" else "Europe/London"
        )
        flow.validate_parameters(schedule.get("parameters", {}))
    assert deployment["concurrency_limit"] == 1


def test_every_flow_has_a_deployment_and_every_process_a_weekly_sweep() -> None:
    by_flow = {d["entrypoint"].rpartition(".")[2]: d for d in DEPLOYMENTS}
    assert set(by_flow) == set(FLOWS)
    for name in PREFECT_FLOWS.keys() - {"role_compliance"}:
        (sweep,) = [
            s for s in by_flow[name]["schedules"] if s.get("parameters") == {"run": {"sweep": True}}
        ]
        assert sweep["cron"].split()[2:] == ["*", "*", "0"]


def test_every_flow_that_a_webhook_concerns_has_its_trigger() -> None:
    """Of the event that the announcer sends, with a parameter that the flow has."""
    from prefect.cli.deploy._triggers import DeploymentTriggerAdapter

    from flows.receiver.announce import CHANGED
    from flows.receiver.subscriptions import FLOW_OF, SPECS

    told = {FLOW_OF[name] for name in SPECS} - {"role_compliance"}
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        flow = deployment["name"].replace("-", "_")
        if flow not in told:
            assert "triggers" not in deployment, "it follows from the others, or from the clock"
            continue
        (trigger,) = deployment["triggers"]
        assert (trigger["expect"], trigger["match"]) == (
            [CHANGED],
            {"prefect.resource.id": f"hrsync.flow.{flow}"},
        )
        assert trigger["parameters"] == {"run": {"hinted": True}}
        assert DeploymentTriggerAdapter.validate_python(trigger).name
        PREFECT_FLOWS[flow].validate_parameters(trigger["parameters"])


def test_up_makes_what_the_file_says(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under other names: other tests have runs of deployments with these names."""
    text = re.sub(
        r"- name: ([a-z-]+)(?=\n)", r"- name: made-\1", (ROOT / "prefect.yaml").read_text()
    )
    (tmp_path / "prefect.yaml").write_text(text.replace("name: hrsync", "name: made"))
    declared = yaml.safe_load(text.replace("name: hrsync", "name: made"))["deployments"]
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="made", type="process"))
        for _ in range(2):
            deploy(tmp_path / "prefect.yaml")
        made = {each.name: each for each in client.read_deployments()}
        for entry in declared:
            found = made[entry["name"]]
            assert found.entrypoint == entry["entrypoint"]
            assert found.work_pool_name == "made"
            assert found.job_variables == entry["work_pool"]["job_variables"]
            assert (found.description, found.tags) == (entry.get("description"), entry["tags"])
            assert found.parameters == entry["parameters"]
            assert found.global_concurrency_limit.limit == entry["concurrency_limit"]
            assert {
                (each.slug, each.schedule.cron, each.schedule.timezone, str(each.parameters))
                for each in found.schedules
            } == {
                (each["slug"], each["cron"], each["timezone"], str(each.get("parameters", {})))
                for each in entry["schedules"]
            }
            automations = client.request(
                "GET",
                "/automations/related-to/{id}",
                path_params={"id": f"prefect.deployment.{found.id}"},
            ).json()
            assert [each["name"] for each in automations] == [
                each["name"] for each in entry.get("triggers", [])
            ]


def test_a_key_that_would_have_no_effect_is_refused(tmp_path: Path) -> None:
    text = (
        (ROOT / "prefect.yaml").read_text().replace("    concurrency_limit: 1", "    limit: 1", 1)
    )
    (tmp_path / "prefect.yaml").write_text(text)
    with pytest.raises(Misconfigured, match=r"deployments\.0\.limit is not known"):
        deploy(tmp_path / "prefect.yaml")

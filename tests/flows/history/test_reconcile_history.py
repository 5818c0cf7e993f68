"""The flow that reconciles history, under a real Prefect server: the report, the repair that waits,
threads and a cluster, the command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from connectors.settings import HistorySettings
from connectors.store import schema as t
from flows.catalogue import PROCESSES
from flows.reconcile_history import ENTITIES, reconcile_history, runner
from reconciliation.errors import Misconfigured
from tests.commands import hrsync
from tests.flows.prefect_runs import artifacts, begin, form, newest_run, work
from tests.sides import Side
from tests.to_hr import both, hr_sql, rows

from .plants import Plants

pytestmark = pytest.mark.prefect


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


@pytest.fixture
def client(configured: Side) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


def reports(side: Side, tmp_path: Path) -> list[Path]:
    return sorted(f for f in (tmp_path / "reconciliations").glob("2*") if f.is_dir())


def planted(side: Side) -> Plants:
    both(side)
    plants = Plants(side, seed=2)
    for kind in ("removed_in_hr", "edited_in_hr", "expired_in_hr", "made_in_hr", "gone"):
        getattr(plants, kind)()
    return plants


def test_a_report_counts_in_prefect_and_names_people_in_its_file_only(
    configured: Side, tmp_path: Path
) -> None:
    plants = planted(configured)
    state = reconcile_history(return_state=True)
    assert state.is_completed(), state.message
    assert "1 missing in HR, 2 only in HR" in str(state.message)
    assert str(state.message).endswith("Nothing was written.")
    (folder,) = reports(configured, tmp_path)
    assert str(folder / "report.html") in str(state.message)
    found = artifacts()
    assert "edited in HR" in found["awards-to-hr-history"]
    assert str(folder) in found["awards-to-hr-history"], (
        "as a path to copy: a browser opens no file of another machine"
    )
    assert "awards-to-hr-history-report" not in found
    assert found["awards-to-hr-history-progress"] == 100.0
    page = (folder / "report.html").read_text()
    name = next(
        r["employee_name"] for r in configured.rows("awards") if r["award_label"] == "typed over"
    )
    assert name in page
    assert name not in "".join(map(str, found.values()))
    table = pd.read_parquet(folder / "rows.parquet")
    assert set(table[table["cause"].isin(["edited in HR", "made in HR"])]["key"]) == {
        k for k, v in plants.expected.items() if v[1] in ("edited in HR", "made in HR")
    }
    assert not list((tmp_path / "reconciliations" / "work").rglob("*.parquet")), (
        "what it was worked on with is gone"
    )


def test_a_repair_waits_for_its_approval_and_is_a_run_like_any_other(
    client: SyncPrefectClient, configured: Side, tmp_path: Path
) -> None:
    plants = planted(configured)
    marks = configured.store.watermark("awards_to_hr", next(iter(_fingerprints(configured))))
    run = begin(client, reconcile_history, mode="repair")
    state = work(client, run, reconcile_history)
    assert (state.name, state.is_paused()) == ("Suspended", True)
    (draft,) = configured.store.drafts()
    schema, text = form(client, run)
    assert schema["properties"]["digest"]["default"] == draft["digest"]
    assert "waits for somebody to decide" in text
    assert len(reports(configured, tmp_path)) == 1
    asked = sum(configured.sandbox.requests.values())
    client.resume_flow_run(run, run_input={"decision": "approve", "digest": draft["digest"]})
    state = work(client, run, reconcile_history)
    assert state.is_completed(), state
    assert "1 created" in str(state.message)
    assert len(reports(configured, tmp_path)) == 1, (
        "the flow has begun again, the report was not made again"
    )
    assert sum(configured.sandbox.requests.values()) == asked, "and nothing was read"
    assert (
        configured.store.watermark("awards_to_hr", next(iter(_fingerprints(configured)))) == marks
    )
    key = next(k for k, v in plants.expected.items() if v[1] == "removed in HR")
    assert [e["outcome"] for e in configured.store.story(key)][-1] == "created"
    again = reconcile_history(mode="repair", return_state=True)
    assert "There is nothing to repair" in str(again.message)


def _fingerprints(side: Side) -> set[str]:
    with side.store.engine.connect() as connection:
        return set(
            connection.exec_driver_sql(
                "SELECT fingerprint FROM watermark WHERE process = 'awards_to_hr'"
            ).scalars()
        )


def test_a_repair_that_is_rejected_or_out_of_date_writes_nothing(
    client: SyncPrefectClient, configured: Side
) -> None:
    plants = planted(configured)
    before = configured.dump()
    run = begin(client, reconcile_history, mode="repair")
    work(client, run, reconcile_history)
    (draft,) = configured.store.drafts()
    client.resume_flow_run(run, run_input={"decision": "reject", "digest": draft["digest"]})
    state = work(client, run, reconcile_history)
    assert state.name == "Rejected"
    assert configured.dump() == before
    run = begin(client, reconcile_history, mode="repair")
    work(client, run, reconcile_history)
    (draft,) = configured.store.drafts()
    key = next(k for k, v in plants.expected.items() if v == ("differs", "edited in HR"))
    hr_sql(configured, "UPDATE awards SET award_label = 'again' WHERE award_record_id = ?", key)
    client.resume_flow_run(run, run_input={"decision": "approve", "digest": draft["digest"]})
    state = work(client, run, reconcile_history)
    assert state.is_failed()
    assert "Reconcile again" in str(state.message)


@pytest.mark.soak
def test_on_threads_and_on_a_dask_cluster_the_result_is_the_same(
    configured: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.sandbox.tick(50)
    planted(configured)
    found = []
    for cluster, rows_ in ((None, "1000000"), ("local", "1000")):
        monkeypatch.setenv("HRSYNC_HISTORY__PARTITION_ROWS", rows_)
        if cluster:
            monkeypatch.setenv("HRSYNC_HISTORY__CLUSTER", cluster)
        before = set(reports(configured, tmp_path))
        state = reconcile_history(when={"as_of": date(2026, 9, 30)}, return_state=True)
        assert state.is_completed(), state.message
        (folder,) = set(reports(configured, tmp_path)) - before
        found.append((folder / "rows.csv").read_bytes())
        folder.rename(folder.with_name(f"2-{len(found)}"))
    assert found[0] == found[1]
    assert found[0].count(b"\n") > 400


def test_a_cluster_needs_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
    with pytest.raises(Misconfigured, match=r"hrsync\[dask\]"):
        runner(HistorySettings(cluster="local"))  # type: ignore[call-arg]


@pytest.mark.loaded
def test_the_command_asks_about_a_user_without_telling_prefect(
    configured: Side, tmp_path: Path
) -> None:
    person = configured.rows("awards")[0]["accessplanit_user_id"]
    said = hrsync("reconcile", "awards", "--user", person, "--as-of", str(datetime.now(UTC).date()))
    theirs = [r for r in configured.rows("awards") if r["accessplanit_user_id"] == person]
    assert f"{len(theirs)} equal" in said
    run = newest_run()
    assert person not in str(run.parameters)
    assert (
        tmp_path / "reconciliations" / "lists" / f"{run.parameters['only']['people']}.txt"
    ).read_text() == person
    (folder,) = reports(configured, tmp_path)
    assert (folder / "compliance.csv").exists()
    period = reconcile_history(when={"period_from": date(2026, 1, 1)}, return_state=True)
    assert period.is_completed()
    (other,) = set(reports(configured, tmp_path)) - {folder}
    assert not (other / "compliance.csv").exists(), (
        "awards of a period say nothing of who is compliant"
    )
    missing = reconcile_history(only={"people": "nobodys"}, return_state=True)
    assert "List nobodys.txt not found" in str(missing.message)


def test_the_command_leaves_a_repair_to_be_decided(configured: Side) -> None:
    planted(configured)
    said = " ".join(hrsync("reconcile", "--repair").split())
    assert "The repair waits for your decision: hrsync show" in said
    (draft,) = configured.store.drafts()
    assert "1 created" in hrsync("apply", draft["digest"])
    assert rows(configured, t.plan_part) == 0


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"what": "employees", "only": {"filters": {"nonsense": 1}}}, "no filter 'nonsense'"),
        ({"what": "employees", "only": {"filters": {"companies": "C1"}}}, "is not a list"),
        (
            {"mode": "repair", "when": {"known_at": datetime(2026, 1, 1)}},
            "A repair uses what both sides hold now",
        ),
        (
            {"when": {"period_from": date(2026, 2, 1), "period_to": date(2026, 1, 1)}},
            "ends before it begins",
        ),
    ],
)
def test_a_question_that_is_none_is_told_so(
    configured: Side, question: dict[str, Any], says: str
) -> None:
    state = reconcile_history(**question, return_state=True)
    assert state.is_failed()
    assert says in str(state.message)


def test_the_form_is_typed() -> None:
    properties = reconcile_history.parameters.properties
    assert properties["mode"]["enum"] == ["report", "repair"]
    assert {"awards", "employees", "users_from_hr"} <= set(properties["what"]["enum"])
    assert set(properties["what"]["enum"]) - {*PROCESSES, *ENTITIES} == set()
    assert {*PROCESSES, *ENTITIES} - set(properties["what"]["enum"]) == {"role_compliance"}
    groups = reconcile_history.parameters.definitions
    assert "at its end" in groups["When"]["properties"]["as_of"]["description"]

"""Settings, and the system that each process is connected to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from connectors.settings import Settings, load
from reconciliation.errors import HrsyncError, Misconfigured
from tasks.blocks import Accessplanit, accessplanit_settings, hr_settings
from tests.flows.test_flows import run
from tests.sides import Side

pytestmark = pytest.mark.prefect


def test_settings_are_strict_and_keep_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT__API_KEY", "hush")
    monkeypatch.setenv("HRSYNC_SQL__URL", "postgresql://hr:hush@db/hr")
    monkeypatch.setenv("HRSYNC_ACESSPLANIT__BASE_URL", "x")
    settings = Settings()  # type: ignore[call-arg]
    assert "hush" not in repr(settings)
    assert settings.unknown() == ["HRSYNC_ACESSPLANIT__BASE_URL"]
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT__TIMEOUT", "soon")
    with pytest.raises(Misconfigured, match=r"HRSYNC_ACCESSPLANIT__TIMEOUT.*number") as caught:
        load()
    assert "soon" not in str(caught.value)


def test_a_misspelt_process_does_not_quietly_go_to_another_system(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRSYNC_HR_OF__AWARD_TO_HR", "csv_drop")
    state = run("users_to_hr")
    assert state.is_failed()
    assert "HRSYNC_HR_OF names an unknown process: award_to_hr" in str(state.message)


def test_each_process_has_the_system_that_is_chosen_for_it(
    configured: Side, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from connectors.hr.csv_drop import CsvDropSettings
    from tasks.blocks import block_type_of

    files = tmp_path / "files of a block"
    kind: Any = block_type_of("csv_drop")
    fields = {
        name: getattr(CsvDropSettings(folder=files), name) for name in CsvDropSettings.model_fields
    }  # type: ignore[call-arg]
    kind(**fields).save("agency", overwrite=True)
    monkeypatch.setenv("HRSYNC_HR_OF__AWARDS_TO_HR", "csv_drop/agency")
    run("users_to_hr")
    assert "created" in str(run("awards_to_hr").message)
    assert configured.rows("employees")
    assert not configured.rows("awards")
    names = sorted(f.name for f in (files / "to_hr").iterdir())
    assert names == ["awards-00000001.csv", "awards-00000001.csv.manifest.json"]
    monkeypatch.setenv("HRSYNC_HR_OF__AWARDS_TO_HR", "csv_drop/nobody")
    state = run("awards_to_hr")
    assert "The Prefect block hrsync-csv-drop/nobody does not exist" in str(state.message)
    assert "or change HRSYNC_HR_OF__AWARDS_TO_HR." in str(state.message)
    monkeypatch.setenv("HRSYNC_HR", "workday")
    assert "There is no HR system 'workday'" in str(run("users_to_hr").message)


@pytest.mark.parametrize(
    ("hr", "hr_of", "setting"),
    [
        ("csv_drop/nowhere", {}, "HRSYNC_HR"),
        ("sql", {"awards_to_hr": "csv_drop/nowhere"}, "HRSYNC_HR_OF__AWARDS_TO_HR"),
        (
            "csv_drop/nowhere",
            {"users_to_hr": "sql", "awards_to_hr": "csv_drop/nowhere"},
            "HRSYNC_HR and HRSYNC_HR_OF__AWARDS_TO_HR",
        ),
    ],
)
def test_a_block_that_does_not_exist_names_the_settings_that_name_it(
    prefect_server: None, hr: str, hr_of: dict[str, str], setting: str
) -> None:
    settings = Settings(hr=hr, hr_of=hr_of)  # type: ignore[call-arg]
    with pytest.raises(Misconfigured) as caught:
        hr_settings(settings, "csv_drop", "nowhere")
    assert caught.value.what == "The Prefect block hrsync-csv-drop/nowhere does not exist"
    assert caught.value.remedy == f"Create it in the Prefect UI, or change {setting}."


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> HrsyncError:
    """The error of hrsync where Prefect raises ``error`` when it loads the block."""

    def load(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("prefect.blocks.core.Block.load", load)
    with pytest.raises(Misconfigured) as caught:
        accessplanit_settings(Settings(accessplanit_block="tenant"))  # type: ignore[call-arg]
    return caught.value


def test_a_server_that_does_not_answer_is_not_a_missing_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = raising(monkeypatch, httpx.ConnectError("refused"))
    assert error.what == "The Prefect block accessplanit/tenant cannot be loaded (ConnectError)"
    assert "PREFECT_API_URL" in error.remedy
    assert "Create" not in error.remedy


def test_invalid_values_of_a_block_are_named_however_prefect_reports_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValidationError) as caught:
        Accessplanit(api_key="hush")  # type: ignore[call-arg]
    wrapped = RuntimeError()
    wrapped.__cause__ = caught.value
    for error in (raising(monkeypatch, caught.value), raising(monkeypatch, wrapped)):
        assert (
            error.what
            == "The Prefect block accessplanit/tenant has invalid values: BASE_URL is missing"
        )
        assert error.remedy == "Correct it in the Prefect UI, or change HRSYNC_ACCESSPLANIT_BLOCK."

"""Settings, and the system that each process is connected to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.settings import Settings, load
from reconciliation.errors import Misconfigured
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
    from tasks.blocks import block_of

    files = tmp_path / "files of a block"
    kind: Any = block_of("csv_drop")
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
    assert "hrsync-csv-drop/nobody cannot be loaded" in str(run("awards_to_hr").message)
    monkeypatch.setenv("HRSYNC_HR", "workday")
    assert "There is no HR system 'workday'" in str(run("users_to_hr").message)

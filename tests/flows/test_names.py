"""A name from a parameter, a command or a setting is a name: it leads nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.mapping import load_mapping
from connectors.settings import Settings
from flows.console.cli import app
from flows.reconcile_history import keep_list, reconcile_history
from reconciliation.errors import HrsyncError, Misconfigured
from reconciliation.history.inquiry import Inquiry
from tasks.blocks import accessplanit_settings, block_type_of, hr_settings
from tests.sides import Side


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


PATHS = (
    "../jasmit",
    "/etc/jasmit",
    "jasmit/secrets",
    "..",
    ".",
    "",
    "jasmit\\secrets",
    "jasmit\n",
    "jas\x00mit",
    "jas\x1b[31mmit",
    "jas\x85mit",
)


@pytest.mark.parametrize("name", PATHS)
def test_a_list_of_people_is_known_by_its_name_and_a_path_is_refused_without_repeating_it(
    configured: Side, tmp_path: Path, name: str
) -> None:
    for place in (tmp_path / "jasmit.txt", tmp_path / "reconciliations" / "jasmit.txt"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("jasmit")
    state = reconcile_history("employees", only={"people": name}, return_state=True)  # type: ignore[call-overload]
    assert state.is_failed()
    assert "is not a name" in str(state.message)
    assert "jas" not in str(state.message)


def test_the_names_that_hrsync_gives_are_names(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)  # type: ignore[call-arg]
    name = keep_list(settings, ["../jasmit"])
    assert (tmp_path / "reconciliations" / "lists" / f"{name}.txt").read_text() == "../jasmit"
    asked = Inquiry(process="../users", as_of="2026-01-01", people=("../jasmit",))  # type: ignore[arg-type]
    assert asked.digest(b"salt").isalnum()


@pytest.mark.parametrize("name", PATHS)
def test_a_mapping_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="is not a name"):
        load_mapping(name, [tmp_path])


@pytest.mark.parametrize("name", [name for name in PATHS if name])
def test_a_block_is_known_by_its_name(name: str) -> None:
    for read in (
        lambda: hr_settings(Settings(), "scim", name),  # type: ignore[call-arg]
        lambda: accessplanit_settings(Settings(accessplanit_block=name)),  # type: ignore[call-arg]
    ):
        with pytest.raises(Misconfigured, match="is not a name"):
            read()


def test_the_folders_of_a_block_lie_below_its_place_too(prefect_server: None) -> None:
    kind: Any = block_type_of("csv_drop")
    kind(outbox="../jasmit").save("leaving", overwrite=True)
    with pytest.raises(
        Misconfigured,
        match=r"hrsync-csv-drop/leaving has invalid values: .*outbox is not a folder below",
    ) as caught:
        hr_settings(Settings(), "csv_drop", "leaving")  # type: ignore[call-arg]
    assert "jasmit" not in str(caught.value)


@pytest.mark.parametrize("chosen", ["../sql", "sql/../scim", "/sql", "scim/a/b"])
def test_the_hr_system_of_a_process_is_one_that_there_is(chosen: str) -> None:
    settings = Settings(hr_of={"users_to_hr": chosen})  # type: ignore[call-arg]
    with pytest.raises(HrsyncError, match=r"no HR system|is not a name"):
        hr_settings(settings, *settings.system_of("users_to_hr"))


def test_an_unknown_hr_system_is_said_with_the_setting_that_names_it() -> None:
    of_one = Settings(hr_of={"users_to_hr": "workday"})  # type: ignore[call-arg]
    with pytest.raises(Misconfigured, match="Set HRSYNC_HR_OF__USERS_TO_HR to one of"):
        of_one.system_of("users_to_hr")
    with pytest.raises(Misconfigured, match="Set HRSYNC_HR to one of"):
        Settings(hr="workday").system_of("users_to_hr")  # type: ignore[call-arg]


@pytest.mark.parametrize("command", ["show", "apply", "reject"])
def test_a_digest_that_is_a_path_names_no_plan(configured: Side, command: str) -> None:
    result = CliRunner().invoke(app, [command, "../../etc/passwd"])
    assert (result.exit_code, "StalePlan: There is no plan" in result.output) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [("mapping", "show", "../people"), ("plan", "../users_to_hr"), ("reconcile", "../awards")],
)
def test_a_process_that_is_a_path_is_none(configured: Side, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert (result.exit_code, "WrongInput: There is no process" in result.output) == (1, True)

"""The folders and the names of files that the drop may be given."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.hr.csv_drop import CsvDropSettings


@pytest.mark.parametrize("setting", ["outbox", "inbox", "archive"])
@pytest.mark.parametrize(
    "path", ["../x", "x/../../y", "/srv/x", "..", "x//y", "x\\..\\y", "x/\x00y", "x\n", ""]
)
def test_the_folders_of_the_drop_lie_below_its_place(setting: str, path: str) -> None:
    with pytest.raises(ValidationError, match=f"{setting} is not a folder below"):
        CsvDropSettings.model_validate({setting: path})


@pytest.mark.parametrize("path", ["x", "from_hr/archive", "a/b/c", "x/", ".", "Übergabe 2026"])
def test_a_folder_of_the_drop_may_be_several_deep(path: str) -> None:
    assert CsvDropSettings(inbox=path).inbox == path  # type: ignore[call-arg]


def test_over_sftp_a_folder_may_be_an_absolute_path_of_the_server() -> None:
    sftp = {"host": "hr.example", "username": "u", "known_hosts": "k"}
    assert (
        CsvDropSettings.model_validate({"sftp": sftp, "inbox": "/data/hr/in"}).inbox
        == "/data/hr/in"
    )
    with pytest.raises(ValidationError, match="inbox is not a folder below"):
        CsvDropSettings.model_validate({"sftp": sftp, "inbox": "/data/../in"})


@pytest.mark.parametrize(
    "pattern",
    [
        "../{entity}-{sequence}.csv",
        "/{entity}-{sequence}",
        "{entity}/{sequence}.csv",
        "{entity}\\{sequence}",
        "{entity}\n{sequence}",
    ],
)
def test_a_file_of_the_drop_has_a_name(pattern: str) -> None:
    with pytest.raises(ValidationError, match="file_name is not a name"):
        CsvDropSettings(file_name=pattern)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "pattern",
    [
        "{entity}-{sequence}-{x}",
        "{entity.__class__}{sequence}{entity}",
        "{}{entity}{sequence}",
        "{entity[0]}{entity}{sequence}",
    ],
)
def test_the_name_of_a_file_of_the_drop_knows_entity_and_sequence_only(pattern: str) -> None:
    with pytest.raises(ValidationError, match=r"only have the placeholders {entity} and"):
        CsvDropSettings(file_name=pattern)  # type: ignore[call-arg]


def test_a_file_of_the_drop_is_not_padded_with_what_makes_it_a_path() -> None:
    with pytest.raises(ValidationError, match="number of digits"):
        CsvDropSettings(file_name="{entity:/<9}{sequence}")  # type: ignore[call-arg]

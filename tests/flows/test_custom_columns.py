"""A custom field of accessplanit that has a column of its own in HR."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.mapping import kinds_of, load_mapping
from flows import users_to_hr
from reconciliation.errors import Misconfigured
from tests.sides import Side

MAPPING = """
title = "People"
feed = "User"
entity = "employees"

[fields]
id = { hr = "accessplanit_id" }
surname = { hr = "surname" }
status = { hr = "status" }
"""


def mapping_with(folder: Path, line: str) -> Path:
    """A folder with a small mapping of people that has this line too."""
    (folder / "people.toml").write_text(MAPPING + line, encoding="utf-8")
    return folder


@pytest.mark.dialects
def test_it_arrives_and_is_followed(side: Side, tmp_path: Path) -> None:
    mapping = load_mapping("people", [mapping_with(tmp_path, 'CF_Site = { hr = "county" }')])
    fields = mapping.to_hr(kinds_of(mapping))
    spec = users_to_hr.SPEC.model_copy(update={"fields": fields})
    side.run(spec)
    site = 'SELECT "ID", "CF_Site" FROM "User"'
    with side.sandbox.engine.connect() as connection:
        sites = dict(connection.exec_driver_sql(site).tuples().all())
    rows = {row["accessplanit_id"]: row["county"] for row in side.rows("employees")}
    assert len(rows) > 50
    assert len(set(rows.values())) > 1
    assert rows == {key: sites[key] for key in rows}
    key = side.change_one("CF_Site", "Sedbergh")
    assert side.run(spec).outcomes["updated"] == 1
    assert {r["county"] for r in side.rows("employees") if r["accessplanit_id"] == key} == {
        "Sedbergh"
    }


def test_a_name_that_is_neither_a_column_nor_custom_is_refused(tmp_path: Path) -> None:
    folder = mapping_with(tmp_path, 'site = { hr = "county" }')
    with pytest.raises(Misconfigured, match=r"fields\.site: accessplanit's User has no 'site'"):
        load_mapping("people", [folder])
    folder = mapping_with(tmp_path, 'CF_Site = { hr = "nowhere" }')
    with pytest.raises(Misconfigured, match=r"fields\.CF_Site: HR's employees has no 'now"):
        load_mapping("people", [folder])


@pytest.mark.parametrize("column", ["employee_id", "custom", "written_at"])
def test_a_column_that_hrsync_fills_itself_is_refused(tmp_path: Path, column: str) -> None:
    folder = mapping_with(tmp_path, f'CF_Site = {{ hr = "{column}" }}')
    with pytest.raises(
        Misconfigured, match=rf"CF_Site: HR's column '{column}' is filled by hrsync"
    ):
        load_mapping("people", [folder])


def test_a_value_that_is_not_of_the_columns_kind_holds_its_record(
    side: Side, tmp_path: Path
) -> None:
    line = 'CF_Site = { hr = "marketing_opt_in" }'
    mapping = load_mapping("people", [mapping_with(tmp_path, line)])
    fields = mapping.to_hr(kinds_of(mapping))
    spec = users_to_hr.SPEC.model_copy(update={"fields": fields})
    report = side.run(spec)
    assert report.outcomes["held"] > 0
    reasons = {reason for _, _, reason, _ in report.reasons}
    assert "has a value that cannot be read as a flag" in reasons

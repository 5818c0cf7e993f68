"""A custom field of accessplanit that has a column of its own in HR."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.mapping import kinds_of, load_mapping
from flows import users_to_hr
from flows._declared import FOLDERS
from reconciliation.errors import Misconfigured
from tests.sides import Side

PEOPLE = (FOLDERS[-1] / "people.toml").read_text(encoding="utf-8")


def mapping_with(folder: Path, line: str) -> Path:
    """A folder with our mapping of people, whose county is replaced by ``line``."""
    old = 'county           = { hr = "county", owner = "newest" }'
    assert old in PEOPLE
    (folder / "people.toml").write_text(PEOPLE.replace(old, line), encoding="utf-8")
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
    folder = mapping_with(tmp_path, 'CF_Site = { hr = "site" }')
    with pytest.raises(Misconfigured, match=r"fields\.CF_Site: .*HR's employees has no 'site'"):
        load_mapping("people", [folder])

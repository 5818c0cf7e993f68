"""What is declared wrongly is refused when a command starts."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows import _checks, catalogue, job_roles_to_hr, users_from_hr, users_to_hr
from flows._checks import check, check_mappings
from reconciliation.errors import Misconfigured

ROLES, USERS, EMPLOYEES = job_roles_to_hr.ROLES, users_to_hr.SPEC, users_from_hr.SPEC


@pytest.mark.parametrize(
    ("spec", "update", "says"),
    [
        (ROLES, {"name": "job_role_to_hr"}, "its SPEC has the name 'job_role_to_hr'"),
        (ROLES, {"entity": "job_role"}, "HR has no entity 'job_role'"),
        (ROLES, {"entity_key": "role_id"}, "is not identified by 'role_id'"),
        (ROLES, {"fields": USERS.fields}, "job_roles has no column "),
        (EMPLOYEES, {"feed": "employes"}, "HR has no entity 'employes'"),
        (EMPLOYEES, {"entity": "Users"}, "accessplanit has no module 'Users'"),
        (EMPLOYEES, {"key": "accessplanit_id"}, "is not identified by 'accessplanit_id'"),
    ],
)
def test_a_spec_that_does_not_fit_hr_is_refused(
    spec: Any, update: dict[str, Any], says: str
) -> None:
    check(spec.name, spec)
    with pytest.raises(Misconfigured, match=f"The process {spec.name} is invalid: .*{says}"):
        check(spec.name, spec.model_copy(update=update))


def test_a_file_without_its_flow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    file = ModuleType("companies_to_hr")
    file.company_to_hr = file.narrowed = None  # type: ignore[attr-defined]
    monkeypatch.setattr(catalogue, "import_module", lambda name: file)
    with pytest.raises(Misconfigured, match=r"flows/companies_to_hr\.py has no companies_to_hr"):
        catalogue._of_its_file("companies_to_hr")


def test_a_mapping_that_no_process_uses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checks, "YOURS", tmp_path)
    (tmp_path / "people.toml").touch()
    check_mappings()
    (tmp_path / "peple.toml").touch()
    with pytest.raises(Misconfigured, match=r"No process uses peple\.toml"):
        check_mappings()
    monkeypatch.setattr(_checks, "YOURS", tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match="There is no folder"):
        check_mappings()

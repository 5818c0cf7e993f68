"""What a process declares, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flows import awards_to_hr, users_to_hr
from flows.catalogue import PROCESSES
from reconciliation.spec import FieldMap, Guard, MatchRule, ProcessSpec

AWARDS = awards_to_hr.SPEC


def test_specs_are_strict() -> None:
    with pytest.raises(ValidationError, match="extra"):
        FieldMap(source="a", target="b", compares=False)  # type: ignore[call-arg]
    data = users_to_hr.SPEC.model_dump()
    with pytest.raises(ValidationError, match="several fields"):
        type(users_to_hr.SPEC)(**{**data, "fields": [*data["fields"], data["fields"][0]]})
    with pytest.raises(ValidationError, match="identifies the row"):
        type(users_to_hr.SPEC)(**{**data, "match": (), "entity_key": "surname"})
    with pytest.raises(
        ValidationError, match="a match rule uses shoe_size, to which no field is mapped"
    ):
        type(users_to_hr.SPEC)(**{**data, "match": [{"source": "email", "target": "shoe_size"}]})


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_comes_back_from_json_as_it_was(name: str) -> None:
    spec = PROCESSES[name].scoped()
    assert ProcessSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_copy_with_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="ProcessSpec has no award_states"):
        users_to_hr.SPEC.model_copy(update={"award_states": False})


def test_a_fingerprint_follows_mapping_and_scope_and_not_the_guard() -> None:
    spec = users_to_hr.SPEC
    assert (
        spec.fingerprint() == spec.model_copy(update={"guard": Guard(population=1)}).fingerprint()
    )
    assert spec.fingerprint() != PROCESSES["users_to_hr"].scoped(companies=["X"]).fingerprint()
    assert spec.fingerprint() == PROCESSES["users_to_hr"].scoped().fingerprint()


def test_match_rules_are_the_guides() -> None:
    assert users_to_hr.SPEC.match == (
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="external_id", target="employee_id"),
        MatchRule(source="external_id", target="employee_number"),
        MatchRule(source="email", target="email", weak=True),
    )


def test_only_specs_that_make_sense_are_made() -> None:
    with pytest.raises(ValueError, match="names the person and must be mapped"):
        ProcessSpec(**{**AWARDS.model_dump(), "fields": AWARDS.model_dump()["fields"][1:]})


@pytest.mark.parametrize(
    ("closed", "says"),
    [((), "needs 'closed'"), ((("ended", "yes"),), "'closed' uses ended, to which no field")],
)
def test_a_scope_that_closes_rows_says_what_a_closed_row_has(closed: Any, says: str) -> None:
    scope = AWARDS.scope.model_copy(update={"closed": closed})
    with pytest.raises(ValidationError, match=says):
        ProcessSpec(**{**AWARDS.model_dump(), "scope": scope.model_dump()})


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"source": "email"},
        {"target": "email"},
        {"source": "email", "together": ("email",)},
        {"source": "email", "target": "email", "together": ("email",)},
        {"source": "email", "target": "email", "only": (("status", "Active"),)},
    ],
)
def test_half_a_match_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="that match together"):
        MatchRule(**rule)


def test_a_computed_column_cannot_be_mapped_and_a_rule_is_given_once() -> None:
    data = AWARDS.model_dump()
    state = FieldMap(source="status", target="state").model_dump()
    with pytest.raises(ValidationError, match="several fields are mapped to state"):
        ProcessSpec(**{**data, "fields": [*data["fields"], state]})
    with pytest.raises(ValidationError, match="at most one rule of each class"):
        ProcessSpec(**{**data, "rules": [*data["rules"], *data["rules"]]})

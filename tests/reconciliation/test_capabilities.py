"""What a system needs in every row."""

from __future__ import annotations

import pytest

from reconciliation.capabilities import Capabilities, Holds, narrowed
from reconciliation.errors import Misconfigured
from reconciliation.spec import FieldMap, ProcessSpec

SPEC = ProcessSpec(
    name="companies_to_hr",
    title="Companies to HR",
    feed="Company",
    entity="companies",
    entity_key="company_id",
    fields=(FieldMap(source="town", target="town"),),
)
HOLDS = Holds(key="company_id", columns={"name": "text", "town": "text"}, mandatory=("name",))


def test_a_process_that_leaves_out_a_mandatory_column_is_refused() -> None:
    can = Capabilities(system="the HR database", entities={"companies": HOLDS})
    with pytest.raises(Misconfigured, match="companies_to_hr does not fill name, and the HR data"):
        narrowed(SPEC, can)
    named = FieldMap(source="name", target="name")
    complete = SPEC.model_copy(update={"fields": (*SPEC.fields, named)})
    assert narrowed(complete, can).columns() == complete.columns()

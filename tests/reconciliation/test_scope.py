"""Who is in scope, by clauses and by the day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from reconciliation import scope
from reconciliation.frame import of
from reconciliation.spec import Clause, Scope

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 11, 23)


def test_scope_ignores_case_and_spaces_and_judges_targets_by_day() -> None:
    rows = of(
        {"status": "text", "target_date": "day"},
        [("in progress", None), ("TARGET", TODAY), ("Target", TODAY + timedelta(1)), (None, None)],
    )
    target = Clause(column="status", values=("Target",))
    both = Scope(
        clauses=(
            Clause(column="status", values=("InProgress", "Target")),
            Clause(column="target_date", op="after", when=target),
        )
    )
    assert scope.in_scope(rows, both, TODAY, NOW).tolist() == [True, False, True, False]
    assert scope.pushdown(both, False) == both.clauses[:1]
    assert scope.pushdown(both.model_copy(update={"leaves": "close"}), False) == ()
    assert scope.pushdown(both.model_copy(update={"leaves": "follow"}), True) == both.clauses[:1], (
        "what is not there cannot leave"
    )
    with pytest.raises(ValidationError, match="has no value; leave the filter out"):
        Clause(column="status")

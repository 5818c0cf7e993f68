"""What HR should hold, together with the rows that it has already."""

from __future__ import annotations

from datetime import date, timedelta

from flows import awards_to_hr
from reconciliation.desired import with_siblings
from reconciliation.frame import of
from reconciliation.plan import reconcile

TODAY = date(2026, 11, 23)


def test_a_newer_completion_supersedes_the_row_that_hr_has() -> None:
    spec = awards_to_hr.SPEC
    wanted_columns = {
        "award_record_id": "text",
        "source_key": "text",
        **{k: v for k, v in spec.columns().items() if k not in ("state", "superseded_by")},
    }
    values = dict.fromkeys(wanted_columns)
    new = {
        **values,
        "award_record_id": "n",
        "source_key": "n",
        "employee_id": "e",
        "award_id": "a",
        "status": "Completed",
        "completed_on": TODAY,
    }
    target_columns = {"award_record_id": "text", **spec.columns()}
    old = {
        **dict.fromkeys(target_columns),
        "award_record_id": "o",
        "employee_id": "e",
        "award_id": "a",
        "status": "Completed",
    }
    old |= {"completed_on": TODAY - timedelta(700), "state": "expired"}
    other = {**old, "award_record_id": "p", "award_id": "b"}
    target = of(target_columns, [old.values(), other.values()])  # type: ignore[list-item]
    both = with_siblings(spec, of(wanted_columns, [new.values()]), target, TODAY, target.iloc[:0])  # type: ignore[list-item]
    assert dict(zip(both["award_record_id"], both["state"], strict=True)) == {
        "n": "achieved",
        "o": "superseded",
    }
    plan = reconcile(both, target, "award_record_id", spec.columns(), spec.compared())
    assert plan.changes.loc[
        plan.changes["kind"] == "update", ["key", "fields", "superseded_by"]
    ].to_numpy().tolist() == [["o", "state,superseded_by", "n"]]

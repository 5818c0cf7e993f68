"""What is not managed never changes, and what comes back is no change (laws 4 and 5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.hr.sql import SqlHr
from flows._run import Order
from reconciliation.frame import empty, of
from reconciliation.plan import reconcile
from reconciliation.spec import FieldMap
from tests.examples import KEYS, USERS, examples
from tests.worlds import NOW, STORES, run

from .small_process import SPEC, feed_of, small_hr

# -- 4: what is not managed is never touched -----------------------------------------------------

MANAGEABLE = ("surname", "email", "phone", "job_title", "status")
FULL_ROW = st.fixed_dictionaries({name: st.sampled_from(["one", "two"]) for name in MANAGEABLE})
SQL_HR: list[SqlHr] = []


@examples(60)
@given(
    managed=st.sets(st.sampled_from(MANAGEABLE), min_size=1).map(sorted),
    carried=st.sets(st.sampled_from(MANAGEABLE)),
    source=st.dictionaries(KEYS, FULL_ROW, max_size=5),
    target=st.dictionaries(KEYS, FULL_ROW, max_size=5),
)
def test_law_4_a_field_that_is_not_managed_never_changes(
    managed: list[str],
    carried: set[str],
    source: dict[str, dict[str, str]],
    target: dict[str, dict[str, str]],
) -> None:
    """Over the real HR database. A carried field travels along and is no reason to write."""
    managed = sorted({*managed, "surname"})
    spec = SPEC.model_copy(
        update={
            "fields": tuple(
                FieldMap(source="id" if n == "x" else n, target=n, compare=n not in carried)
                for n in managed
            ),
            "match": (),
        }
    )
    if not SQL_HR:
        SQL_HR.append(SqlHr("sqlite://"))
    hr = SQL_HR[0]
    kinds = dict.fromkeys(MANAGEABLE, "text")
    with hr.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM employees")
    everything = of(
        {"employee_id": "text", **kinds},
        [(key, *(row[n] for n in MANAGEABLE)) for key, row in target.items()],
    )
    hr.apply(
        "employees",
        reconcile(
            everything, empty({"employee_id": "text", **kinds}), "employee_id", kinds, list(kinds)
        ).changes,
    )
    columns = spec.columns()
    desired = of(
        {"employee_id": "text", **columns},
        [(key, *(row[n] for n in columns)) for key, row in source.items()],
    )
    plan = reconcile(
        desired, hr.read("employees", columns, None).frame, "employee_id", columns, spec.compared()
    )
    assert set(plan.changes.columns) == {"kind", "key", "fields", "reason", *managed}
    named = {name for text in plan.changes["fields"] for name in text.split(",") if name}
    assert named <= set(managed) - carried
    hr.apply("employees", plan.changes)
    after = {
        row.pop("employee_id"): row
        for row in hr.read("employees", kinds, None).frame.to_dict("records")
    }
    for key, row in target.items():
        assert {n: after[key][n] for n in MANAGEABLE if n not in managed} == {
            n: row[n] for n in MANAGEABLE if n not in managed
        }
        reason = key in source and any(source[key][n] != row[n] for n in set(managed) - carried)
        assert {n: after[key][n] for n in managed} == {
            n: (source[key] if reason else row)[n] for n in managed
        }


# -- 5: an echo is no change ---------------------------------------------------------------------


@examples(40)
@given(
    users=USERS,
    touched=st.lists(st.tuples(KEYS, st.integers(5, 60)), max_size=4),
    full=st.booleans(),
)
def test_law_5_what_comes_back_as_it_was_written_is_no_change(
    users: dict[str, dict[str, Any]], touched: list[tuple[str, int]], full: bool
) -> None:
    """Records whose time stamp alone has moved (an edit that changed nothing, our own write coming
    back) write nothing."""
    feed, hr, store = feed_of(users), small_hr(), STORES.fresh()
    run(SPEC, feed, hr, store)
    before, calls = hr.content("employees"), len(hr.calls)
    for key, minutes in touched:
        if key in feed.records:
            feed.records[key]["updated_at"] += timedelta(minutes=minutes)
    report = run(SPEC, feed, hr, store, Order(full=full), NOW + timedelta(minutes=5))
    assert report.written == 0
    assert (hr.content("employees"), len(hr.calls)) == (before, calls)

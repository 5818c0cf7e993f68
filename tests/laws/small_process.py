"""A small process over people, and the worlds that it runs in."""

from __future__ import annotations

from typing import Any

from reconciliation.frame import of
from reconciliation.spec import Clause, FieldMap, Guard, MatchRule, ProcessSpec, Scope
from tests.worlds import NOW, Feed, Hr, user

SPEC = ProcessSpec(
    name="users_to_hr",
    title="A small process",
    feed="User",
    entity="employees",
    entity_key="employee_id",
    fields=(
        FieldMap(source="id", target="accessplanit_id"),
        FieldMap(source="surname", target="surname"),
        FieldMap(source="status", target="status"),
        FieldMap(source="email", target="email"),
        FieldMap(source="updated_at", target="source_updated_at", kind="moment", compare=False),
    ),
    match=(
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="email", target="email", weak=True),
    ),
    scope=Scope(
        clauses=(Clause(column="status", values=("Enabled",)),),
        leaves="close",
        gone="close",
        closed=(("status", "Inactive"),),
    ),
    guard=Guard(create=None, update=None, close=None),
)
COLUMNS = SPEC.columns()


def feed_of(users: dict[str, dict[str, Any]], **more: Any) -> Feed:
    return Feed({key: user(key, **values) for key, values in users.items()}, **more)


def small_hr(batch: int = 1000, rows: list[tuple[Any, ...]] | None = None) -> Hr:
    """An HR with the few columns that matter here."""
    hr = Hr.__new__(Hr)
    hr.batch, hr.calls, hr.complete, hr.refuses = batch, [], True, lambda _: False
    hr.tables = {"employees": of({"employee_id": "text", **COLUMNS}, rows or [])}
    return hr


def employee(
    key: str,
    user_: str | None,
    surname: str = "Lee",
    status: str = "Enabled",
    email: str | None = None,
) -> tuple[Any, ...]:
    return (key, user_, surname, status, email, NOW)

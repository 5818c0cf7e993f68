"""``$select $filter $orderby $top $skip $count`` over a module's table.

The filter grammar is the library's (odata-query); here are only the things in which API v2 differs
from OData: names in any case [5], values in quotes even for numbers [11], and the tenant's own
names and dates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser
from odata_query.sqlalchemy.core import AstToSqlAlchemyCoreVisitor

from .schema import BLANK_AS_TEXT, DATES, DROPDOWNS, FLAGS, NUMBERS
from .tenant import Tenant


class BadQuery(ValueError):
    """The request's query options cannot be carried out; the text goes into the 400 answer."""


class Names:
    """A module's names as this tenant spells them on the wire, found in any case."""

    def __init__(self, tenant: Tenant, table: sa.Table) -> None:
        self.table = table
        hidden = set() if tenant.has_date_updated else {"DateUpdated"}
        columns = [str(c.name) for c in table.c]
        self.wire = {
            c: tenant.wire_names.get((str(table.name), c), c) for c in columns if c not in hidden
        }
        self._found = {wire.lower(): name for name, wire in self.wire.items()}

    def column(self, wire: str) -> str | None:
        return self._found.get(wire.strip().lower())


class _Filter(AstToSqlAlchemyCoreVisitor):
    def __init__(self, tenant: Tenant, names: Names) -> None:
        table: Any = names.table
        super().__init__(table)
        self.tenant, self.names = tenant, names

    def visit_Identifier(self, node: ast.Identifier) -> Any:
        name = self.names.column(node.name)
        if name is None:
            raise BadQuery(f"{self.names.table.name} has no field '{node.name}'")
        return self.names.table.c[name]

    def visit_Compare(self, node: ast.Compare) -> Any:
        if isinstance(node.left, ast.Identifier):
            name = self.names.column(node.left.name)
            values = node.right.val if isinstance(node.right, ast.List) else [node.right]
            for value in values:
                self._literal_fits(name, value)
            if name == "Status" and isinstance(node.right, ast.String):
                node = ast.Compare(
                    node.comparator, node.left, ast.String(self._stored_status(node.right.val))
                )
            if name in NUMBERS and isinstance(node.right, ast.String):
                node = ast.Compare(node.comparator, node.left, ast.Integer(node.right.val))
        return super().visit_Compare(node)

    def _stored_status(self, wire: str) -> str:
        """A status is compared as the tenant spells it; the other spelling matches nothing."""
        if wire == self.tenant.status_in_progress:
            return "In Progress"
        return "(not a status of this tenant)" if wire == "In Progress" else wire

    def _literal_fits(self, name: str | None, value: Any) -> None:
        if name in DATES and not isinstance(value, ast.Null):
            quoted = isinstance(value, ast.String)
            if quoted != self.tenant.quoted_dates:
                form = "in quotes" if self.tenant.quoted_dates else "without quotes"
                raise BadQuery(f"a date literal for '{name}' is written {form}")

    def visit_Date(self, node: ast.Date) -> Any:
        return sa.literal(node.val)

    def visit_DateTime(self, node: ast.DateTime) -> Any:
        return sa.literal(node.val)


def where(tenant: Tenant, names: Names, text: str) -> Any:
    """The SQL condition of a ``$filter``.

    Raises:
        BadQuery: the text does not parse, names an unknown field, or writes a date in the other
            form.
    """
    try:
        return _Filter(tenant, names).visit(ODataParser().parse(ODataLexer().tokenize(text)))
    except (ODataException, NotImplementedError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, BadQuery):
            raise
        raise BadQuery(f"$filter is not understood: {type(error).__name__}") from None


def _number(options: Mapping[str, str], key: str, default: int) -> int:
    try:
        return int(options.get(key, default))
    except ValueError:
        raise BadQuery(f"{key} is not a whole number") from None


class Page:
    """One list request, ready to be run."""

    def __init__(
        self,
        tenant: Tenant,
        table: sa.Table,
        query: Mapping[str, str],
        visible: Any,
        shift: int = 0,
    ) -> None:
        options = {key.lower(): value for key, value in query.items()}
        self.tenant = tenant
        self.names = names = Names(tenant, table)
        if "$select" in options:
            # An unknown name in $select is passed over, as the vendor's own demo relies on.
            found = (names.column(wire) for wire in options["$select"].split(","))
            self.columns = list(dict.fromkeys(name for name in found if name)) or ["ID"]
        else:
            self.columns = list(names.wire)
        conditions = [] if visible is None else [visible]
        if options.get("$filter", "").strip():
            conditions.append(where(tenant, names, options["$filter"]))
        self.counted = sa.select(sa.func.count()).select_from(table).where(*conditions)
        self.wants_count = (
            options.get("$count", "").lower() == "true" and tenant.count_key is not None
        )
        top = _number(options, "$top", tenant.default_page)
        if top < -1:
            raise BadQuery("$top must be -1 or a non-negative integer")
        skip = _number(options, "$skip", 0)
        if skip < 0:
            raise BadQuery("$skip must be a non-negative integer")
        order = []
        for part in options.get("$orderby", "ID").split(","):
            wire, _, direction = part.strip().partition(" ")
            name = names.column(wire)
            if name is None:
                raise BadQuery(f"{table.name} has no field '{wire}'")
            column = table.c[name]
            order.append(column.desc() if direction.strip().lower() == "desc" else column.asc())
        self.statement = (
            sa.select(*(table.c[name] for name in self.columns))
            .where(*conditions)
            .order_by(*order)
            .limit(tenant.max_page if top == -1 else min(top, tenant.max_page))
            .offset(max(0, skip + shift))
        )

    def run(self, connection: sa.Connection) -> dict[str, Any]:
        """The ``results`` envelope."""
        rows = connection.execute(self.statement).all()
        shape = [self._speak(name) for name in self.columns]
        wire = [self.names.wire[name] for name in self.columns]
        envelope: dict[str, Any] = {
            "results": [
                dict(
                    zip(wire, [speak(v) for speak, v in zip(shape, row, strict=True)], strict=True)
                )
                for row in rows
            ]
        }
        if self.wants_count:
            envelope[str(self.tenant.count_key)] = connection.execute(self.counted).scalar_one()
        return envelope

    def _speak(self, name: str) -> Any:
        tenant, module = self.tenant, self.names.table.name
        if name in DROPDOWNS and tenant.arrays_for_dropdowns:
            return lambda v: [v] if v else []
        if name == "Status" and module in ("UserAward", "UserCourseDate"):
            return lambda v: tenant.status_in_progress if v == "In Progress" else v
        if name in FLAGS:
            return lambda v: None if v is None else bool(v)
        if name in BLANK_AS_TEXT:
            return lambda v: "" if v is None else v
        return _as_stored


def _as_stored(value: Any) -> Any:
    return value


def stored(table: sa.Table, name: str, value: Any) -> Any:
    """A value from a request's body, as it is kept: a one-element list is its element, blank is
    null [2, 3]."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str) and not value.strip():
        value = None
    if (
        name == "Status"
        and isinstance(value, str)
        and value.replace(" ", "").lower() == "inprogress"
    ):
        value = "In Progress"
    if name not in FLAGS | NUMBERS and value is not None:
        value = str(value)
    return value

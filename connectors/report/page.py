"""Writes the findings of a reconciliation as an HTML page and as tables."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pyarrow.csv import write_csv

from reconciliation.frame import arrow, strings
from reconciliation.history.causes import UNLINKED
from reconciliation.history.classes import OUTSIDE, QUARANTINED
from reconciliation.history.findings import Findings
from reconciliation.history.forecast import Forecast

from ..checkpoints import Folder
from ..spreadsheet import defused
from . import charts

SHOWN = 300
"""Maximum number of rows of a table in the page. The files beside it have all."""
STAMP = "%Y%m%dT%H%M%S"
"""Format of the time (UTC) at the end of a report's folder name."""
ENVIRONMENT = Environment(
    loader=PackageLoader("connectors.report", "."),
    autoescape=select_autoescape(["html", "j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Written:
    """Addresses of the page and the tables."""

    page: str
    files: tuple[str, ...]


def write(home: Folder, findings: Findings, forecast: Forecast | None) -> Written:
    """Writes ``report.html``, and each table as CSV and as Parquet, to a new folder below ``home``.

    Raises:
        StoreFailed: the folder cannot be written.
    """
    tables = {
        "rows": findings.published(),
        "differences": findings.differences,
        "causes": findings.causes(),
    }
    if forecast:
        tables |= {
            "expiring-by-company": forecast.by_company,
            "expiring-by-award": forecast.by_award,
            "expiring-by-role": forecast.by_role,
            "compliance": forecast.compliance,
            "next-to-lapse": forecast.lapses,
        }
    folder, files = home.below(name_of(findings)), []
    for name, table in tables.items():
        folder.keep(name, table)
        files += [folder.write(f"{name}.csv", csv_of(table)), f"{folder.url}/{name}.parquet"]
    page = folder.write(
        "report.html",
        render(
            findings, forecast, [f"{name}.{kind}" for name in tables for kind in ("csv", "parquet")]
        ).encode(),
    )
    return Written(page, tuple(files))


def name_of(findings: Findings) -> str:
    """Returns the folder name of a report: the day it is about, the process, and the time at which
    it was finished."""
    return f"{findings.inquiry.as_of:%Y-%m-%d}-{findings.spec.name}-{findings.ended:{STAMP}}"


def prune_reports(home: Folder, edge: datetime) -> int:
    """Deletes reports, lists of people and unfinished reconciliations that are older than ``edge``.
    Returns the number of deleted reports."""
    removed = 0
    for name in home.names():
        stamp = name.rpartition("-")[2]
        with suppress(ValueError):
            if datetime.strptime(stamp, STAMP).replace(tzinfo=UTC) < edge:
                home.below(name).remove()
                removed += 1
    lists = home.below("lists")
    for name in lists.names():
        if lists.written(name) < edge:
            lists.delete(name)
    work = home.below("work")
    for name in work.names():
        note = work.below(name).read_note("began")
        # The note is written first: a folder without one was left by a kill.
        if note is None or datetime.fromisoformat(note["at"]) < edge:
            work.below(name).remove()
    return removed


def render(findings: Findings, forecast: Forecast | None, files: list[str]) -> str:
    """Returns the page as HTML. It loads no other files."""
    causes = findings.causes()
    odd = findings.odd
    pictures = {}
    if len(causes):
        shown = causes[
            ~causes["class"].isin([OUTSIDE])
            & ~((causes["class"] == QUARANTINED) & (causes["cause"] == UNLINKED))
        ]
        # The same cause may belong to several classes.
        by_cause = (
            shown.groupby("cause")["rows"].sum().sort_values(ascending=False).head(charts.BARS)
        )
        if len(by_cause):
            pictures["causes"] = charts.causes(
                [str(name) for name in by_cause.index], [int(n) for n in by_cause]
            )
    if forecast and len(forecast.compliance):
        pictures["compliance"] = charts.compliance(forecast.compliance, forecast.day)
    expiring = []
    if forecast:
        for of, table in (
            ("company", forecast.by_company),
            ("award", forecast.by_award),
            ("job role", forecast.by_role),
        ):
            expiring.append((of, table, charts.expiring(table, of) if len(table) else None))
    return ENVIRONMENT.get_template("report.html.j2").render(
        f=findings,
        inquiry=findings.inquiry,
        needs=findings.needs(),
        counts=findings.counts(),
        total=len(findings.rows),
        causes=causes.to_dict("records"),
        odd=_records(odd.head(SHOWN)),
        odd_rows=len(odd),
        values=_values(findings),
        forecast=forecast,
        compliance=_compliance(forecast),
        lapses=_records(forecast.lapses.head(SHOWN)) if forecast else [],
        expiring=expiring,
        pictures=pictures,
        files=files,
        shown=SHOWN,
        moment=_moment,
        day=_day,
    )


def _values(findings: Findings) -> dict[str, list[dict[str, object]]]:
    """Maps the key of each shown row to its differences."""
    by_key: dict[str, list[dict[str, object]]] = {}
    for row in _records(
        findings.differences[findings.differences["key"].isin(findings.odd.head(SHOWN)["key"])]
    ):
        by_key.setdefault(str(row["key"]), []).append(row)
    return by_key


def _compliance(forecast: Forecast | None) -> list[dict[str, object]]:
    """Returns the compliance of each job role at the start of the period, on the day of the
    forecast, and at the end of the period; ``None`` where nobody has the role."""
    if forecast is None or not len(forecast.compliance):
        return []
    table = forecast.compliance
    days = sorted(set(table["day"]))
    edges = (days[0], forecast.day, days[-1])
    rows = []
    for role, group in table.groupby("role"):
        of: dict[Any, Any] = {row["day"]: row for row in _records(group)}
        on_day = [of.get(day, {"required": 0, "compliant": 0}) for day in edges]
        # Nobody has the role on a day without required awards.
        shares = [
            100 * row["compliant"] / row["required"] if row["required"] else None for row in on_day
        ]
        rows.append({"role": role, "required": on_day[1]["required"], "shares": shares})
    return rows


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Returns the rows of a table as dicts of Python values."""
    columns = {name: arrow(table[name]).to_pylist() for name in table.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def csv_of(table: pd.DataFrame) -> bytes:
    """Returns a table as CSV that is safe to open in a spreadsheet."""
    out = io.BytesIO()
    write_csv(pa.table({name: _harmless(arrow(table[name])) for name in table.columns}), out)
    # Without this byte order mark Excel reads the file in the local code page.
    return b"\xef\xbb\xbf" + out.getvalue()


def _harmless(column: pa.Array) -> pa.Array:
    """Escapes text that a spreadsheet would run as a formula."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    return pa.array(
        [None if text is None else defused(text) for text in strings(column)], pa.string()
    )


def _moment(value: datetime | None) -> str:
    return f"{value:%d %b %Y %H:%M} UTC" if value else "never"


def _day(value: date | None) -> str:
    return f"{value:%d %b %Y}" if value else ""

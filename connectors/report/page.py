"""Writes the findings of a reconciliation as an HTML page and as tables, and deletes old ones."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pyarrow.csv import write_csv

from reconciliation.frame import arrow
from reconciliation.history.causes import UNLINKED
from reconciliation.history.classes import OUTSIDE, QUARANTINED
from reconciliation.history.findings import Findings
from reconciliation.history.forecast import Forecast

from ..checkpoints import Folder
from ..spreadsheet import defused
from . import charts

MAX_ROWS = 300
"""Maximum number of rows of a table in the page. The CSV and Parquet files contain all rows."""
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
class ReportAddresses:
    """Addresses of the page and the tables."""

    page: str
    files: tuple[str, ...]


def write(home: Folder, findings: Findings, forecast: Forecast | None) -> ReportAddresses:
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
    folder = home.below(name_of(findings))
    files: list[str] = []
    for name, table in tables.items():
        folder.keep(name, table)
        files += [folder.write(f"{name}.csv", csv_of(table)), f"{folder.url}/{name}.parquet"]
    page = folder.write(
        "report.html",
        render(
            findings, forecast, [f"{name}.{kind}" for name in tables for kind in ("csv", "parquet")]
        ).encode(),
    )
    return ReportAddresses(page, tuple(files))


def name_of(findings: Findings) -> str:
    """Returns the folder name of a report: the day it is about, the process, and the time at which
    it was finished."""
    return f"{findings.inquiry.as_of:%Y-%m-%d}-{findings.spec.name}-{findings.ended:{STAMP}}"


def prune_reports(home: Folder, older_than: datetime) -> int:
    """Deletes reports, lists of people and unfinished reconciliations from before a time. Returns
    the number of deleted reports."""
    removed = 0
    for name in home.names():
        finished = _finished(name)
        if finished is not None and finished < older_than:
            home.below(name).remove()
            removed += 1
    lists = home.below("lists")
    for name in lists.names():
        if lists.written(name) < older_than:
            lists.delete(name)
    work = home.below("work")
    for name in work.names():
        if _begun(work, name) < older_than:
            work.below(name).remove()
    return removed


def _finished(name: str) -> datetime | None:
    """Returns when a report was finished, from the name of its folder; ``None`` for a folder that
    is not a report."""
    try:
        return datetime.strptime(name.rpartition("-")[2], STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _begun(work: Folder, name: str) -> datetime:
    """Returns when a reconciliation began. One that begins right now may have no note yet: then
    the last write in its folder counts."""
    folder = work.below(name)
    note = folder.read_note("began")
    if note is not None:
        return datetime.fromisoformat(note["at"])
    # A folder in a bucket has no time of its own, but is never empty.
    writes = [folder.written(file) for file in folder.names() if folder.has(file)]
    return max(writes or [work.written(name)])


def render(findings: Findings, forecast: Forecast | None, files: list[str]) -> str:
    """Returns the page as HTML. It loads no other files."""
    causes = findings.causes()
    odd = findings.odd
    pictures = {}
    if len(causes):
        # Rows that are out of scope or wait for their person need no action.
        waiting = (causes["class"] == QUARANTINED) & (causes["cause"] == UNLINKED)
        shown = causes[(causes["class"] != OUTSIDE) & ~waiting]
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
        for grouping, table in (
            ("company", forecast.by_company),
            ("award", forecast.by_award),
            ("job role", forecast.by_role),
        ):
            picture = charts.expiring(table, grouping) if len(table) else None
            expiring.append((grouping, table, picture))
    return ENVIRONMENT.get_template("report.html.j2").render(
        f=findings,
        inquiry=findings.inquiry,
        needs=findings.needs(),
        counts=findings.counts(),
        total=len(findings.rows),
        causes=causes.to_dict("records"),
        odd=_records(odd.head(MAX_ROWS)),
        odd_rows=len(odd),
        values=_differences_by_key(findings),
        forecast=forecast,
        compliance=_compliance(forecast),
        lapses=_records(forecast.lapses.head(MAX_ROWS)) if forecast else [],
        expiring=expiring,
        pictures=pictures,
        files=files,
        shown=MAX_ROWS,
        moment=_moment,
        day=_day,
    )


def _differences_by_key(findings: Findings) -> dict[str, list[dict[str, object]]]:
    """Maps the key of each shown row to its differences."""
    by_key: dict[str, list[dict[str, object]]] = {}
    shown_keys = findings.odd.head(MAX_ROWS)["key"]
    for row in _records(findings.differences[findings.differences["key"].isin(shown_keys)]):
        by_key.setdefault(str(row["key"]), []).append(row)
    return by_key


def _compliance(forecast: Forecast | None) -> list[dict[str, object]]:
    """Returns the number of awards that each job role requires, and the percentage that people
    hold: at the start of the forecast period, on the day of the report, and at the end. Without
    required awards on a day there is no percentage (``None``)."""
    if forecast is None or not len(forecast.compliance):
        return []
    days = sorted(set(forecast.compliance["day"]))
    rows: list[dict[str, object]] = []
    for role, group in forecast.compliance.groupby("role"):
        counts: dict[Any, tuple[Any, Any]] = {
            row["day"]: (row["required"], row["compliant"]) for row in _records(group)
        }
        shares = []
        for day in (days[0], forecast.day, days[-1]):
            required, compliant = counts.get(day, (0, 0))
            shares.append(100 * compliant / required if required else None)
        required, _ = counts.get(forecast.day, (0, 0))
        rows.append({"role": role, "required": required, "shares": shares})
    return rows


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Returns the rows of a table as dicts of Python values."""
    columns = {name: arrow(table[name]).to_pylist() for name in table.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def csv_of(table: pd.DataFrame) -> bytes:
    """Returns a table as CSV that is safe to open in a spreadsheet."""
    out = io.BytesIO()
    columns = {name: _without_formulas(arrow(table[name])) for name in table.columns}
    write_csv(pa.table(columns), out)
    # Without this byte order mark Excel reads the file in the local code page.
    return b"\xef\xbb\xbf" + out.getvalue()


def _without_formulas(column: pa.Array) -> pa.Array:
    """Escapes text that a spreadsheet would run as a formula."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(check(kind) for check in is_text):
        return column
    texts = column.to_pylist()
    return pa.array([None if text is None else defused(text) for text in texts], pa.string())


def _moment(value: datetime | None) -> str:
    return f"{value:%d %b %Y %H:%M} UTC" if value else "never"


def _day(value: date | None) -> str:
    return f"{value:%d %b %Y}" if value else ""

"""Publishes the results of runs in the Prefect UI: counts, and no personal data."""

from __future__ import annotations

import math
import re

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from connectors.store.hints import Figures
from reconciliation.history.findings import Findings
from reconciliation.report import RunReport, with_noun

from .steps import step

SHOWN_REASONS = 50
"""Maximum number of reasons in the table of a run."""
MARKDOWN_CHARACTERS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&])")
"""Characters with a special meaning in Markdown."""


def escaped(text: str) -> str:
    """Escapes text that comes from outside, such as the name of a field, so that Markdown shows it
    literally, on one line, and loads nothing."""
    return MARKDOWN_CHARACTERS.sub(r"\\\1", re.sub(r"[\r\n]", " ", text))


def summary(report: RunReport) -> str:
    """Returns the counts of a run as Markdown."""
    outcomes = [f"| {name} | {rows:,} |" for name, rows in report.outcomes.items()]
    steps = [f"| {name} | {seconds:.2f} |" for name, seconds in report.seconds.items()]
    total = sum(report.outcomes.values())
    looked_at = report.read + report.reexamined
    adds_up = "is" if report.adds_up() else "is **not**"
    sections = [
        f"## {report.process} · {report.mode}",
        f"Source: {escaped(report.source)}",
        _table("outcome", "rows", [*outcomes, f"| **sum** | **{total:,}** |"]),
        f"{with_noun(report.read, 'row')} read and {with_noun(report.reexamined, 'row')} of "
        f"{report.target_side} compared again: {looked_at:,} in all, which {adds_up} the sum of "
        "the outcomes.",
        f"""| | |
|---|---|
| read in full | {"yes" if report.complete else "**no; the next run reads from the same moment**"} |
| watermark before | {report.watermark_before or "none"} |
| watermark after | {report.watermark_after or "none"} |
| requests | {report.requests:,} |
| records named by webhooks | {report.hints:,} |
| plan | `{report.digest}` |
| changes of an interrupted run whose result was looked up | {report.settled:,} |""",
        _table("step", "seconds", steps),
    ]
    if report.sweep:
        figures = [f"| {name} | {number:,} |" for name, number in report.sweep.items()]
        sections.append(_table("sweep", "rows", figures))
    if report.drift:
        sections.append("### Fields of the feed that changed")
        sections.append("\n".join(f"- {escaped(change)}" for change in report.drift))
    return "\n\n".join(sections)


def _table(first: str, second: str, lines: list[str]) -> str:
    """Returns a Markdown table of two columns, the second with numbers."""
    return "\n".join([f"| {first} | {second} |", "|---|---:|", *lines])


@step("publish table")
def publish_table(rows: list[dict[str, object]], key: str, description: str) -> None:
    """Publishes a table of counts. The caller sees to it that it holds no personal data."""
    create_table_artifact(rows, key=key, description=description)


@step("publish webhooks")
def publish_webhooks(figures: Figures) -> None:
    """Publishes the counts of the last day's webhook deliveries, and how long it took until their
    records were loaded."""
    deliveries = "\n".join(
        f"| {escaped(name)} | {new:,} | {repeats:,} |"
        for name, (new, repeats) in sorted(figures.received.items())
    )
    refusals = [
        f"{number:,} for {escaped(reason)}" for reason, number in sorted(figures.refused.items())
    ]
    waiting = [f"{number:,} of {escaped(name)}" for name, number in sorted(figures.waiting.items())]
    lags, time_to_load = figures.lags, "no record was loaded"
    if lags:
        # The lags are sorted.
        percentile = lags[math.ceil(len(lags) * 95 / 100) - 1]
        time_to_load = (
            f"median {lags[len(lags) // 2]:.1f} s, 95 % within {percentile:.1f} s, "
            f"longest {lags[-1]:.1f} s"
        )
    text = f"""## Webhooks of the last 24 hours

| subscription | deliveries | repeats |
|---|---:|---:|
{deliveries}

- Records loaded: {len(lags):,}. Time from delivery to load: {time_to_load}.
- Records that wait to be loaded: {", ".join(waiting) or "none"}.

Deliveries refused yesterday and today (UTC): {", ".join(refusals) or "none"}.
"""
    create_markdown_artifact(
        text,
        key="webhooks",
        description="Webhook deliveries: received, repeated, refused, and their time to load",
    )


@step("publish findings")
def publish_findings(findings: Findings, page: str) -> None:
    """Publishes the counts of a historical reconciliation, and ``page``, the address of its report.

    The report itself holds personal data. Only people who may see HR's data may open it.
    """
    inquiry = findings.inquiry
    counts = "\n".join(f"| {name} | {number:,} |" for name, number in findings.counts().items())
    causes = "\n".join(
        f"| {row['class']} | {escaped(row['cause'])} | {row['rows']:,} | {escaped(row['remedy'])} |"
        for row in findings.causes().to_dict("records")
    )
    known = f", as known on {inquiry.known_at:%d %b %Y %H:%M} UTC" if inquiry.known_at else ""
    text = f"""## {findings.spec.title}: as of {inquiry.as_of:%d %b %Y}{known}

| class | records |
|---|---:|
{counts}
| **sum** | **{len(findings.rows):,}** |

| class | likely cause | records | what to do |
|---|---|---:|---|
{causes}

The report holds personal data and is at `{page}`. Everybody with access to that folder can open it.
{findings.parts:,} parts were read with {findings.requests:,} requests. An interrupted run had
already read {findings.resumed:,} of them.
"""
    key = findings.spec.name.replace("_", "-")
    create_markdown_artifact(
        text, key=f"{key}-history", description=f"{findings.spec.title}: historical reconciliation"
    )
    # No link to a path: a browser cannot open a path on another machine. The text shows the path.
    if page.startswith(("http://", "https://")):
        about = "Personal data: for people with access to the folder"
        create_link_artifact(
            page, link_text="The report", key=f"{key}-history-report", description=about
        )


@step("publish")
def publish(report: RunReport) -> None:
    """Publishes the summary of a run and, if rows were not loaded, a table of the reasons."""
    key = report.process.replace("_", "-")
    create_markdown_artifact(
        summary(report), key=f"{key}-summary", description=f"{report.process}: counts per outcome"
    )
    if report.reasons:
        # 'hrsync quarantine' uses the same column names.
        table = [
            {"stage": stage, "field": field, "reason": reason, "rows": rows}
            for stage, field, reason, rows in report.reasons[:SHOWN_REASONS]
        ]
        number = len(report.reasons)
        cut = f"; the first {SHOWN_REASONS} of {number:,} reasons" if number > SHOWN_REASONS else ""
        create_table_artifact(
            table,
            key=f"{key}-quarantine",
            description=f"{report.process}: reasons why rows were not loaded{cut}",
        )

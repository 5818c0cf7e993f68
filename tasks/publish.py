"""Publishes the results of runs in the Prefect UI: counts, and no personal data."""

from __future__ import annotations

import re

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from connectors.store.hints import Figures
from reconciliation.history.findings import Findings
from reconciliation.report import RunReport

from .steps import step

SHOWN_REASONS = 50
"""Maximum number of reasons in the table of a run."""
MARKED = re.compile(r"([\\`*_{}\[\]()<>#+!|~])")
"""Characters with a meaning in Markdown."""


def escaped(text: str) -> str:
    """Returns ``text`` from outside, such as the name of a field, escaped: Markdown shows it as it
    is and fetches nothing."""
    return MARKED.sub(r"\\\1", text).replace("\n", " ")


def summary(report: RunReport) -> str:
    """Returns the counts of a run as Markdown."""
    rows = "\n".join(f"| {name} | {rows:,} |" for name, rows in report.outcomes.items())
    steps = "\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in report.seconds.items())
    total = sum(report.outcomes.values())
    check = "adds up" if report.adds_up() else "**does not add up**"
    drift = "".join(f"\n- {escaped(line)}" for line in report.drift)
    figures = "\n".join(f"| {name} | {number:,} |" for name, number in report.sweep.items())
    sweep = f"\n| sweep | rows |\n|---|---:|\n{figures}\n\n" if figures else ""
    return f"""## {report.process} · {report.mode}

Source: {report.source}

| outcome | rows |
|---|---:|
{rows}
| **sum** | **{total:,}** |

{report.read:,} rows read and {report.reexamined:,} compared with HR again: the sum {check}.

| | |
|---|---|
| read in full | {"yes" if report.complete else "**no: the watermark stays**"} |
| watermark before | {report.watermark_before or "none"} |
| watermark after | {report.watermark_after or "none"} |
| requests | {report.requests:,} |
| records named by hints | {report.hints:,} |
| plan | `{report.digest}` |
| settled changes of an interrupted run | {report.settled:,} |

| step | seconds |
|---|---:|
{steps}
{sweep}{"### Fields of the feed that changed" + drift if drift else ""}"""


@step("publish_table")
def table(rows: list[dict[str, object]], key: str, description: str) -> None:
    """Publishes counts as a table. They hold no personal data."""
    create_table_artifact(rows, key=key, description=description)


@step("publish_webhooks")
def publish_webhooks(figures: Figures) -> None:
    """Publishes the counts of the last day's webhook deliveries, and the time to their loads."""
    received = "\n".join(
        f"| {escaped(name)} | {new:,} | {again:,} |"
        for name, (new, again) in sorted(figures.received.items())
    )
    refused = (
        ", ".join(f"{number:,} for {reason}" for reason, number in sorted(figures.refused.items()))
        or "none"
    )
    waiting = (
        ", ".join(f"{number:,} of {name}" for name, number in sorted(figures.waiting.items()))
        or "none"
    )
    lags, time_to_load = figures.lags, "no delivery was loaded"
    if lags:
        time_to_load = (
            f"median {lags[len(lags) // 2]:.1f} s, 95 % within "
            f"{lags[int(len(lags) * 0.95)]:.1f} s, longest {lags[-1]:.1f} s"
        )
    text = f"""## Webhooks of the last 24 hours

| subscription | deliveries | repeats |
|---|---:|---:|
{received}

- Time from a delivery to its load: {time_to_load} ({len(lags):,} hints).
- Refused (whole days, UTC): {refused}.
- Waiting hints: {waiting}.
"""
    create_markdown_artifact(
        text,
        key="webhooks",
        description="Deliveries of webhooks: received, refused, duplicates, lag",
    )


@step("publish_findings")
def publish_findings(findings: Findings, page: str) -> None:
    """Publishes the counts of a historical reconciliation, and the address of its report.

    The report holds personal data. It is for people who may read HR.

    Args:
        findings: the findings.
        page: the address of the report.
    """
    inquiry = findings.inquiry
    counts = "\n".join(f"| {name} | {rows:,} |" for name, rows in findings.counts().items())
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
{findings.parts:,} parts were read with {findings.requests:,} requests;
{findings.resumed:,} came from an interrupted run.
"""
    key = findings.spec.name.replace("_", "-")
    create_markdown_artifact(
        text, key=f"{key}-history", description=f"{findings.spec.title}: historical reconciliation"
    )
    # A browser cannot open a path on another machine. The text has it for copying.
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
        rows = [
            {"stage": stage, "field": field, "reason": reason, "rows": count}
            for stage, field, reason, count in report.reasons[:SHOWN_REASONS]
        ]
        create_table_artifact(
            rows,
            key=f"{key}-quarantine",
            description=f"{report.process}: reasons why rows were not loaded",
        )

"""What a run shows in the Prefect UI: counts, never a person."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from reconciliation.report import RunReport

from .steps import step

SHOWN_REASONS = 50


def summary(report: RunReport) -> str:
    """The run in figures, as Markdown."""
    rows = "\n".join(f"| {name} | {rows:,} |" for name, rows in report.outcomes.items())
    steps = "\n".join(f"| {name} | {seconds:.2f} |" for name, seconds in report.seconds.items())
    total = sum(report.outcomes.values())
    check = "adds up" if report.adds_up() else "**does not add up**"
    drift = "".join(f"\n- {line}" for line in report.drift)
    figures = "\n".join(f"| {name} | {number:,} |" for name, number in report.sweep.items())
    sweep = f"\n| sweep | rows |\n|---|---:|\n{figures}\n\n" if figures else ""
    return f"""## {report.process} · {report.mode}

Source: {report.source}

| outcome | rows |
|---|---:|
{rows}
| **sum** | **{total:,}** |

{report.read:,} rows read and {report.reexamined:,} looked at again in HR: {check}.

| | |
|---|---|
| read in full | {"yes" if report.complete else "**no: the watermark stays**"} |
| watermark before | {report.watermark_before or "none"} |
| watermark after | {report.watermark_after or "none"} |
| requests | {report.requests:,} |
| plan | `{report.digest}` |
| changes of an interrupted run settled | {report.settled:,} |

| step | seconds |
|---|---:|
{steps}
{sweep}{"### Fields of the feed that changed" + drift if drift else ""}"""


@step("publish_table")
def table(rows: list[dict[str, object]], key: str, description: str) -> None:
    """Counts as a table; no personal data."""
    create_table_artifact(rows, key=key, description=description)


@step("publish")
def publish(report: RunReport) -> None:
    """The summary and, if there is one, the table of quarantined reasons."""
    key = report.process.replace("_", "-")
    create_markdown_artifact(summary(report), key=f"{key}-summary", description=f"{report.process}: counts per outcome")
    if report.reasons:
        rows = [{"stage": s, "field": f, "reason": r, "rows": n} for s, f, r, n in report.reasons[:SHOWN_REASONS]]
        create_table_artifact(rows, key=f"{key}-quarantine", description=f"{report.process}: why rows did not go through")

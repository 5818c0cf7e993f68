"""The form in which a person decides on a plan that is past its guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from reconciliation.errors import StalePlan
from reconciliation.report import RunReport, counted

Decision = Literal["approve", "reject"]


class Approval(RunInput):
    """What is asked in the Prefect UI."""

    decision: Decision = Field(
        description="approve: exactly this plan is applied. reject: nothing is written."
    )
    digest: str = Field(
        description="The plan that is decided on. Leave it as it is: another one is not applied."
    )


def this_run() -> tuple[str | None, datetime | None]:
    """Prefect's ID of this flow run, if it can be suspended (it belongs to a deployment); and when
    a schedule wanted it."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return None, None
    due = run.expected_start_time if run.auto_scheduled else None
    return str(run.id), due.astimezone(UTC) if due else None


def answerable(flow_run: str) -> bool:
    """Whether somebody can still decide in a flow run that was suspended: not if it was cancelled
    or deleted, or has ended."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(flow_run)).state
        except ObjectNotFound:
            return False
    return state is not None and not state.is_final()


def question(
    report: RunReport,
    counts: Mapping[str, int],
    whole: tuple[str, int],
    digest: str,
    found: Sequence[str],
) -> str:
    """What the form says, as Markdown: counts and the digest, never a person. whole: a name, and
    the rows that it has."""
    rows = "\n".join(f"| {kind} | {number:,} |" for kind, number in counts.items())
    why = "\n".join(f"- {line}" for line in found)
    read = f"{counted(report.read, 'record')} of {report.source}"
    return f"""**{report.process}** was stopped by its guard:

{why}

| change | rows |
|---|---:|
{rows}
| {whole[0]} | {whole[1]:,} |

Plan `{digest}`, made {report.started:%d %b %Y %H:%M} UTC from {read}.

`hrsync show {digest}` shows it field by field, `hrsync why KEY` what happened to a row before."""


def approval(
    report: RunReport,
    counts: Mapping[str, int],
    whole: tuple[str, int],
    digest: str,
    found: Sequence[str],
    patience: timedelta,
) -> Decision:
    """Suspends this flow run until somebody has decided; when it runs again, returns what they
    decided.

    After ``patience`` Prefect ends the run, and nothing is written.

    Raises:
        StalePlan: what was approved is not the digest that was asked about.
    """
    form = Approval.with_initial_data(
        description=question(report, counts, whole, digest, found), digest=digest
    )
    given = suspend_flow_run(wait_for_input=form, timeout=int(patience.total_seconds()), key=digest)
    if given.decision == "approve" and given.digest != digest:
        raise StalePlan(f"The plan {given.digest} was approved, but {digest} was asked about", "")
    return given.decision

"""Suspends a flow run, and asks a person to approve or reject the plan that the guard stopped."""

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
from reconciliation.report import RunReport, with_noun

from .publish import escaped

Decision = Literal["approve", "reject"]


class Approval(RunInput):
    """The form that the Prefect UI shows."""

    decision: Decision = Field(
        description="approve: hrsync applies exactly this plan. reject: hrsync writes nothing."
    )
    digest: str = Field(
        description="Identifies the plan. Do not change this text: hrsync applies only this plan."
    )


def this_run() -> tuple[str | None, datetime | None]:
    """Returns Prefect's ID of this flow run and its scheduled start (UTC).

    Both are ``None`` if the run belongs to no deployment; it cannot be suspended then. The start is
    ``None`` if the run was not created by a schedule.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return None, None
    due = run.expected_start_time if run.auto_scheduled else None
    return str(run.id), due.astimezone(UTC) if due else None


def can_still_be_answered(flow_run_id: str) -> bool:
    """Whether a suspended flow run still accepts a decision. It does not after it was deleted,
    cancelled or finished."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(flow_run_id)).state
        except ObjectNotFound:
            return False
    return state is not None and not state.is_final()


def form_text(
    report: RunReport,
    counts: Mapping[str, int],
    total: tuple[str, int],
    digest: str,
    reasons: Sequence[str],
) -> str:
    """Returns the text of the form, as Markdown. It holds counts and the digest, and no personal
    data.

    Args:
        report: the run that made the plan.
        counts: kind of change -> rows.
        total: (label, number) of the rows that exist, shown beneath the counts for comparison.
        digest: the digest of the plan.
        reasons: why the guard has stopped the plan, one sentence for each reason.
    """
    label, number = total
    rows = "\n".join(f"| {kind} | {changes:,} |" for kind, changes in counts.items())
    why = "\n".join(f"- {escaped(reason)}" for reason in reasons)
    read = f"{with_noun(report.read, 'record')} of {escaped(report.source)}"
    return f"""**{report.process}** was stopped by its guard:

{why}

| change | rows |
|---|---:|
{rows}
| {label} | {number:,} |

Plan `{digest}`, made {report.started:%d %b %Y %H:%M} UTC from {read}.

`hrsync show {digest}` shows the plan field by field. `hrsync why KEY` shows a row's history."""


def ask_for_decision(text: str, digest: str, timeout: timedelta) -> Decision:
    """Suspends this flow run until somebody has decided on the plan ``digest``. ``text`` is what
    the form says (:func:`form_text`).

    The first call does not return: it raises, and Prefect suspends the run. After the answer,
    Prefect starts the flow again, and this call returns the decision. If no answer comes within
    ``timeout``, Prefect ends the run, and nothing is written.

    Raises:
        StalePlan: a plan was approved, but it is not the plan ``digest``.
    """
    form = Approval.with_initial_data(description=text, digest=digest)
    answer = suspend_flow_run(wait_for_input=form, timeout=int(timeout.total_seconds()), key=digest)
    if answer.decision == "approve" and answer.digest != digest:
        raise StalePlan(
            f"The plan {answer.digest} was approved, but the question was about {digest}",
            "Run the flow again and leave the digest in the form as it is.",
        )
    return answer.decision

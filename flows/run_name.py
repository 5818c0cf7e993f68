"""Names flow runs: after the process and its options, and at the end after what the run did.

A name holds counts, and no personal data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from reconciliation.spec import ProcessSpec

from ._run import Order

NAMED = ("created", "updated", "closed", "failed")
"""The outcomes that a name counts."""


def at_start(spec: ProcessSpec) -> Callable[[], str]:
    """Returns a function that names a run after its process and options: "Users to HR (sweep)"."""

    def name() -> str:
        context = FlowRunContext.get()
        given = (context.parameters or {}) if context else {}
        order = given["run"].order() if "run" in given else Order()
        labels = {
            "preview": order.mode == "plan",
            "approved": order.approve,
            "sweep": order.sweep,
            "full": order.full,
            "since": order.since,
            "webhook": order.hinted,
        }
        chosen = ", ".join(label for label, holds in labels.items() if holds)
        return f"{spec.title} ({chosen})" if chosen else spec.title

    return name


def did(outcomes: Mapping[str, int]) -> str:
    """Returns the counts of a run in a few words."""
    counts = [f"{outcomes[kind]:,} {kind}" for kind in NAMED if outcomes.get(kind)]
    return ", ".join(counts) or "no changes"


def at_end(what: str, *, approved: bool = False) -> None:
    """Adds what this run did to its name: "Users to HR: 4 updated (sweep)".

    ``approved``: somebody has approved a plan in the middle of the run. If Prefect's server does
    not answer, the name stays as it is: a run does not fail for its name.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    title, _, labels = context.flow_run.name.removesuffix(")").partition(" (")
    chosen = [*(labels.split(", ") if labels else []), *(["approved"] if approved else [])]
    title, shown = title.partition(": ")[0], ", ".join(dict.fromkeys(chosen))
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        name = f"{title}: {what} ({shown})" if shown else f"{title}: {what}"
        client.set_flow_run_name(context.flow_run.id, name)

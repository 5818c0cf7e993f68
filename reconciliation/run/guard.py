"""The third step of a run: decides whether a person has to approve the plan."""

from __future__ import annotations

from reconciliation.draft import Draft
from reconciliation.errors import Skipped, UnsafePlan
from reconciliation.guard import breaches

from .context import Run

REPAIR = "a repair waits for somebody to decide on it"


def guard(run: Run, draft: Draft) -> list[str]:
    """Returns the reasons why a person has to approve the draft. If there are none, the plan is
    stored, ready to be carried out."""
    why = reasons(draft)
    if run.order.confirm and len(draft.compared.plan.changes):
        why.append(REPAIR)
    if not why:
        run.store.keep_plan(draft.compared.plan, run.spec, run.now, run.id)
    return why


def reasons(draft: Draft) -> list[str]:
    """Returns the reasons why the plan of a draft exceeds its guard; empty if it does not."""
    compared, figures = draft.compared, draft.compared.figures
    return breaches(
        compared.plan.counts(),
        compared.population,
        draft.spec.guard,
        answered_for=figures.get("answered_for"),
        vanished=len(compared.gone),
        loaded=figures.get("loaded", 0),
        emptied=compared.plan.emptied(),
        silent=[field.target for field in draft.spec.fields if field.source in draft.silent],
        side=draft.spec.target_side,
    )


def stopped(run: Run, draft: Draft, found: list[str]) -> UnsafePlan:
    """Stores the draft until a person decides on it, and returns the error to raise. ``found`` are
    the reasons from :func:`guard`.

    Raises:
        Skipped: an earlier plan of this process waits for a decision in another run.
    """
    spec, digest = run.spec, draft.compared.plan.digest
    waits = run.store.waiting(spec.name, spec.fingerprint(), run.now)
    if waits and run.order.flow_run:
        raise Skipped(
            f"Nothing was done: the plan {waits[0]} waits for an approval in the Prefect run "
            f"{waits[1]}",
            "Decide on it there, or with 'hrsync apply' or 'hrsync reject' and the digest.",
        )
    until = run.now + run.order.patience
    run.store.keep_draft(draft, "waiting", run.now, run.order.flow_run, until, run.id)
    return UnsafePlan(
        f"The plan {digest} was stopped by its guard: {'; '.join(found)}. Nothing was written",
        f"Look at it ('hrsync plan'). If it is right: hrsync apply {digest}",
        digest,
    )

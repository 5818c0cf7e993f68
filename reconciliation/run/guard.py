"""The third step of a run: whether its plan may be carried out unseen, or a person decides."""

from __future__ import annotations

from reconciliation.draft import Draft
from reconciliation.errors import Skipped, UnsafePlan
from reconciliation.guard import breaches

from .context import Run

REPAIR = "a repair waits for somebody to decide on it"


def guard(run: Run, draft: Draft) -> list[str]:
    """Why a person has to decide on the draft. If nobody has to, its plan is kept, to be carried
    out."""
    found = reasons(draft)
    if run.order.confirm and len(draft.compared.plan.changes):
        found.append(REPAIR)
    if not found:
        run.store.keep_plan(draft.compared.plan, run.spec, run.now, run.id)
    return found


def reasons(draft: Draft) -> list[str]:
    """Why the plan of a draft exceeds its guard; empty if it does not."""
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
    """Keeps the draft until a person has decided on it; the error that says so.

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

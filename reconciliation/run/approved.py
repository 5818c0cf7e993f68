"""Loads a stored plan to apply it, and checks that the target has not changed since."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from reconciliation.draft import Draft
from reconciliation.errors import StalePlan, TargetFailed, WrongInput
from reconciliation.plan import moved
from reconciliation.receipts import of_landed

from .comparison import links_of, values
from .context import Run
from .interrupted import Present, as_it_is


def approved(run: Run) -> tuple[Draft, pd.DataFrame]:
    """Returns the draft that the order names, and receipts of the changes that an earlier,
    interrupted attempt has already made.

    Raises:
        WrongInput: the plan belongs to another process.
        TargetFailed: the target could not be read in full.
        StalePlan: the target has changed since the plan was made.
    """
    digest = str(run.order.approve)
    draft = run.store.draft(digest)
    if draft.spec.name != run.spec.name:
        raise WrongInput(
            f"The plan {digest} belongs to {draft.spec.name}, not to {run.spec.name}",
            f"Apply it with the flow of {draft.spec.name}.",
        )
    run.store.take_plan(digest, run.spec, run.id)
    spec, plan, columns = draft.spec, draft.compared.plan, draft.spec.columns()
    present = as_it_is(spec, plan, columns, run.target, run.store)
    if not present.complete:
        raise TargetFailed(
            f"{spec.target_side} could not be read in full, so it is not known whether it is still "
            f"as the plan {digest} saw it",
            "Run again; nothing was written, and the plan still waits.",
        )
    landed = of_landed(plan, present.rows, spec.entity_key, columns)
    changed = {
        *moved(plan, present.rows, spec.entity_key, columns),
        *present.needless,
        *_linked_otherwise(run, draft),
    }
    # A row that already is as the plan wants it was written by an interrupted attempt.
    changed = (changed - set(landed["key"])) | _made_by_others(run, digest, present)
    if changed:
        run.store.close_plan(digest, "stale", run.id)
        raise StalePlan(
            f"{spec.target_side} has moved since the plan {digest} was made: {len(changed)} of its "
            "rows are no longer what it saw",
            "",
        )
    draft.report.mode, draft.report.started = "approved", run.now
    return _without_old_agreements(run, draft), landed


def _made_by_others(run: Run, digest: str, present: Present) -> set[str]:
    """Returns the keys of creates whose rows somebody else has made: the target has them, although
    nothing of the plan was ever sent."""
    if "given" not in present.rows or run.store.begun(digest):
        return set()
    made = present.rows.loc[present.rows["given"].notna(), run.spec.entity_key]
    return {str(key) for key in made}


def _linked_otherwise(run: Run, draft: Draft) -> list[str]:
    """Returns the keys of rows in the plan whose link has changed since: the record is now linked
    to another row, or the row to another record."""
    spec, pairs = draft.spec, draft.compared.pairs
    if not spec.match:
        return []
    ours = pairs[pairs["key"].isin(draft.compared.plan.changes["key"])]
    links = links_of(run.store, spec, values(ours["source_key"]), values(ours["key"]))
    by_record = ours.merge(links, on="source_key")
    by_row = ours.merge(links, left_on="key", right_on="target_key", suffixes=("", "_linked"))
    elsewhere = by_record.loc[by_record["key"] != by_record["target_key"], "key"]
    taken = by_row.loc[by_row["source_key"] != by_row["source_key_linked"], "key"]
    return [str(key) for key in [*elsewhere, *taken]]


def _without_old_agreements(run: Run, draft: Draft) -> Draft:
    """Drops agreements of the draft for fields that have an agreement in the store, because that
    one may be newer.

    Agreements about rows that the plan writes stay: the target still holds what the plan saw.
    """
    agreed, pair = draft.compared.agreed, draft.spec.pair
    if pair is None or not len(agreed):
        return draft
    known = run.store.agreed(pair, values(agreed["key"]))[["key", "field"]]
    same = agreed.merge(known, on=["key", "field"], how="left", indicator=True)["_merge"] == "both"
    keep = agreed["row"].isin(draft.compared.plan.changes["key"]) | ~same.set_axis(agreed.index)
    agreed = agreed[keep].reset_index(drop=True)
    return replace(draft, compared=replace(draft.compared, agreed=agreed))

"""What the guide's overview announces: completions, expiries and renewals of awards reach HR."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, ProcessSpec, Scope

from ._declared import AWARDS, to_hr
from ._process import run_flow
from ._run import Mode, Order

STATUSES = ("In Progress", "Completed", "On Hold")

SPEC = ProcessSpec(
    name="awards_to_hr",
    title="Awards to HR",
    feed="UserAward",
    entity="awards",
    entity_key="award_record_id",
    person="user_id",
    award_states=True,
    fields=to_hr(AWARDS),
    custom=AWARDS.custom_of("accessplanit"),
    scope=Scope(
        clauses=(Clause(column="status", values=STATUSES),),
        leaves="follow",
        gone="close",
        closed=(("state", "revoked"),),
    ),
)


def scoped(
    statuses: list[str] | None = None,
    awards: list[str] | None = None,
    custom_fields: list[str] | None = None,
    expiring_within_days: int = 90,
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [Clause(column="status", values=tuple(statuses or STATUSES))]
    if awards:
        clauses.append(Clause(column="award_id", values=tuple(awards)))
    update = {
        "scope": SPEC.scope.model_copy(update={"clauses": tuple(clauses)}),
        "custom": (*SPEC.custom, *(custom_fields or ())),
        "expiring_within_days": expiring_within_days,
    }
    return SPEC.model_copy(update=update)


@flow(name="awards_to_hr", flow_run_name="awards_to_hr {mode}", persist_result=False)
def awards_to_hr(
    mode: Mode = "apply",
    statuses: list[str] | None = None,
    awards: list[str] | None = None,
    custom_fields: list[str] | None = None,
    expiring_within_days: int = 90,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Completions, expiries and renewals of awards reach HR (the guide's overview).

    Args:
        mode: apply writes; plan only counts what would be written.
        statuses: award statuses in scope; none given: Completed, In Progress and On Hold.
        awards: IDs of the awards (AwardID) to load; none given: all.
        custom_fields: custom fields of user awards to carry along (CF_…).
        expiring_within_days: number of days before its expiry date from which an award is
            "expiring".
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what
            is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(statuses, awards, custom_fields, expiring_within_days), order)

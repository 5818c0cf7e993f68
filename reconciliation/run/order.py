"""The options of a run, and which of them contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from reconciliation.errors import WrongInput

Mode = Literal["apply", "plan"]
MEANS = {
    "hinted": "hinted reads only the records that webhooks named",
    "full": "full reads everything again",
    "sweep": "sweep reads everything and compares it with all of the other side",
    "since": "since reads what changed from a moment on",
    "named": "named reads only the records with these keys",
    "approve": "approve applies a kept plan and reads nothing",
    "plan": "mode plan writes nothing",
}
CONTRADICTIONS = (
    ("hinted", "full"),
    ("hinted", "sweep"),
    ("since", "sweep"),
    ("since", "full"),
    *(("named", other) for other in ("since", "full", "sweep", "hinted")),
    *(("approve", other) for other in ("plan", "since", "full", "sweep", "hinted", "named")),
)


@dataclass(frozen=True)
class Order:
    """The options of one run.

    Raises:
        WrongInput: two of the options contradict each other.
    """

    mode: Mode = "apply"
    """``plan`` only shows what ``apply`` would write."""
    since: datetime | None = None
    """Read the records that changed from this moment on (UTC if it has no offset)."""
    full: bool = False
    """Read all records."""
    sweep: bool = False
    """Read all records, known ones too, and compare them with all of the target."""
    hinted: bool = False
    """Read only the records that change notifications name (every run reads these as well)."""
    named: tuple[str, ...] | None = None
    """Read only the records with these keys, and take no notification."""
    confirm: bool = False
    """Ask a person before any change is written."""
    approve: str | None = None
    """Apply the kept plan with this digest; read nothing from the source."""
    keep: bool = False
    """In mode ``plan``: keep the plan, so that it can be applied later."""
    scheduled: datetime | None = None
    """When a schedule wanted this run."""
    flow_run: str | None = None
    """Prefect's ID of the run, if Prefect can suspend it."""
    patience: timedelta = timedelta(hours=24)
    """How long a plan that exceeds its guard waits for an approval."""

    def __post_init__(self) -> None:
        for one, other in CONTRADICTIONS:
            if self._chosen(one) and self._chosen(other):
                raise WrongInput(
                    f"The options contradict each other: {MEANS[one]}, {MEANS[other]}",
                    "Choose one of them.",
                )

    def _chosen(self, option: str) -> bool:
        if option == "plan":
            return self.mode == "plan"
        return getattr(self, option) not in (None, False, "")

    def approving(self, digest: str) -> Order:
        """Returns the order that applies the stored plan ``digest`` instead of reading."""
        return Order(
            approve=digest,
            confirm=self.confirm,
            flow_run=self.flow_run,
            patience=self.patience,
        )

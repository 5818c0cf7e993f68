"""What a run says of itself: counts that add up, and a plan that a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .frame import arrow, strings
from .plan import Plan, managed

OUTCOMES = (
    "unchanged",
    "created",
    "updated",
    "closed",
    "held",
    "out_of_scope",
    "quarantined",
    "failed",
    "unsupported",
    "discarded",
    "duplicate",
)
"""Where a row can end; each row that was looked at ends in exactly one.

failed: HR refused it; it is quarantined. quarantined: unreadable, or known to be so and not due for
another attempt. unsupported: the HR system has no place for it; it is looked at again when it
changes. discarded: somebody has decided that this very record is not to be loaded.
"""


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sentence(read: int, outcomes: Mapping[str, int]) -> str:
    """What a run did, in one line."""
    written = (
        ", ".join(f"{rows:,} {name}" for name, rows in outcomes.items() if rows) or "nothing to do"
    )
    return f"{counted(read, 'row')} read: {written}"


@dataclass
class RunReport:
    """One run in figures, without personal data. read + reexamined == the sum of ``outcomes``."""

    process: str
    mode: str
    source: str
    started: datetime
    read: int = 0
    """Rows received from the feed."""
    reexamined: int = 0
    """Rows of the target that were looked at again because of other records, such as an award that
    a newer one supersedes."""
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    requests: int = 0
    complete: bool = True
    watermark_before: datetime | None = None
    watermark_after: datetime | None = None
    digest: str = ""
    drift: tuple[str, ...] = ()
    """What is new about the feed's fields, as "User: Fax appeared"; each is reported once."""
    sweep: dict[str, int] = field(default_factory=dict)
    """Figures of a sweep: parts read, parts resumed from an interrupted sweep, rows gone, only in
    HR, changed in HR."""
    settled: int = 0
    """Changes that an interrupted run may or may not have made; HR was asked."""
    reasons: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(outcome, field, reason, rows)."""
    hints: int = 0
    """Records that this run has read because webhooks had named them."""
    seconds: dict[str, float] = field(default_factory=dict)

    def adds_up(self) -> bool:
        """Every row that was looked at has ended somewhere."""
        return self.read + self.reexamined == sum(self.outcomes.values())

    @property
    def written(self) -> int:
        """Rows that HR now has otherwise than before."""
        return self.outcomes["created"] + self.outcomes["updated"] + self.outcomes["closed"]


def differences(plan: Plan, limit: int) -> Iterator[tuple[str, str, str, str, str]]:
    """(kind, key, field, before, after) of the first ``limit`` changes, creates by their filled
    fields.

    Holds personal data: for the terminal, never for a log or an artifact.
    """
    columns = managed(plan.changes)
    shown = plan.changes.head(limit)
    after = {name: arrow(shown[name]).to_pylist() for name in shown.columns}
    places = {key: i for i, key in enumerate(strings(plan.before["key"]))}
    before = {name: arrow(plan.before[name]) for name in columns}
    for i, (kind, key, changed) in enumerate(
        zip(after["kind"], after["key"], after["fields"], strict=True)
    ):
        for name in columns if kind == "create" else changed.split(","):
            was = None if kind == "create" else before[name][places[key]].as_py()
            then = after[name][i]
            if kind != "create" or then is not None:
                yield (
                    kind,
                    key,
                    name,
                    "" if was is None else str(was),
                    "" if then is None else str(then),
                )

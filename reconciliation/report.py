"""The report of a run: counts that add up, and a plan as readable differences."""

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
"""The outcomes of a row. Each row that a run looks at gets exactly one.

- failed: the target refused it; it is in quarantine
- quarantined: unreadable, or in quarantine and not due for another attempt
- unsupported: the HR system has no place for it; it is looked at again when it changes
- discarded: a person has decided not to load this version of the record
"""


def counted(number: int, noun: str) -> str:
    """Formats a number with its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sentence(read: int, outcomes: Mapping[str, int]) -> str:
    """Summarises a run in one line."""
    results = (
        ", ".join(f"{rows:,} {name}" for name, rows in outcomes.items() if rows) or "nothing to do"
    )
    return f"{counted(read, 'row')} read: {results}"


@dataclass
class RunReport:
    """The figures of one run, without personal data. ``read`` plus ``reexamined`` equals the sum of
    ``outcomes``."""

    process: str
    mode: str
    source: str
    started: datetime
    read: int = 0
    """Rows received from the feed."""
    reexamined: int = 0
    """Rows of the target that were looked at because of other records, such as an award that a
    newer one supersedes."""
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    requests: int = 0
    complete: bool = True
    watermark_before: datetime | None = None
    watermark_after: datetime | None = None
    digest: str = ""
    drift: tuple[str, ...] = ()
    """Changes in the feed's fields, such as "User: Fax appeared". Each is reported once."""
    sweep: dict[str, int] = field(default_factory=dict)
    """Figures of a sweep: parts read, parts resumed from an interrupted sweep, rows gone, only in
    HR, changed in HR."""
    settled: int = 0
    """Changes of an interrupted run whose fate was unknown and has been read from the target."""
    reasons: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(outcome, field, reason, rows)."""
    hints: int = 0
    """Records that this run read because webhooks named them."""
    seconds: dict[str, float] = field(default_factory=dict)

    def adds_up(self) -> bool:
        """Whether every row that was looked at has an outcome."""
        return self.read + self.reexamined == sum(self.outcomes.values())

    @property
    def written(self) -> int:
        """Number of rows that the run has changed in the target."""
        return self.outcomes["created"] + self.outcomes["updated"] + self.outcomes["closed"]


def differences(plan: Plan, limit: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yields (kind, key, field, before, after) for each field of the first ``limit`` changes. Of a
    create, only filled fields are listed.

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
            old = None if kind == "create" else before[name][places[key]].as_py()
            new = after[name][i]
            if kind != "create" or new is not None:
                yield (
                    kind,
                    key,
                    name,
                    "" if old is None else str(old),
                    "" if new is None else str(new),
                )

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
"""The outcomes. Each record that a run reads gets exactly one, and so does each reexamined row.

- held: not loaded yet, because it needs a decision, its person is not in the target yet, or it was
  not tried
- out_of_scope: the filters of the process leave it out, and no row has to be closed for it
- quarantined: unreadable, or in quarantine and not due for another attempt
- failed: the target refused it; it is in quarantine
- unsupported: the HR system cannot hold it; it is looked at again when it changes
- discarded: a person has decided not to load this version of the record
- duplicate: another copy of the record was read and counts in its place
"""


def with_noun(number: int, noun: str) -> str:
    """Formats a number with its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def one_line_summary(read: int, outcomes: Mapping[str, int]) -> str:
    """Summarises a run in one line."""
    counts = [f"{rows:,} {name.replace('_', ' ')}" for name, rows in outcomes.items() if rows]
    reexamined = sum(outcomes.values()) - read
    and_reexamined = f" and {reexamined:,} compared again" if reexamined else ""
    return f"{with_noun(read, 'row')} read{and_reexamined}: {', '.join(counts) or 'nothing to do'}"


@dataclass
class RunReport:
    """The figures of one run, without personal data. ``read`` plus ``reexamined`` equals the sum of
    ``outcomes``."""

    process: str
    mode: str
    source: str
    started: datetime
    read: int = 0
    """Number of records received from the feed."""
    reexamined: int = 0
    """Number of target rows whose own record this run has not read, but that it had to change or
    report. Example: a new award supersedes an older one, so the older one's row changes too."""
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    requests: int = 0
    complete: bool = True
    watermark_before: datetime | None = None
    watermark_after: datetime | None = None
    digest: str = ""
    drift: tuple[str, ...] = ()
    """Changes in the feed's fields, such as "User: Fax appeared". Each is reported once."""
    sweep: dict[str, int] = field(default_factory=dict)
    """Figures of a sweep: parts read, parts resumed from an interrupted sweep, records gone, rows
    only in the target, rows changed in the target."""
    settled: int = 0
    """Number of changes that an interrupted run may or may not have written. This run read the
    target to find out."""
    reasons: list[tuple[str, str, str, int]] = field(default_factory=list)
    """Why rows were not loaded: (stage, field, reason, rows). The stage is that of the quarantine
    (``settle.QUARANTINE``), or "unsupported"."""
    hints: int = 0
    """Records that this run read because webhooks named them."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Name of a step -> seconds that it took."""
    target_side: str = "the target"
    """Name of the side that is written, in messages."""

    def adds_up(self) -> bool:
        """Whether the outcomes account for every record read and every reexamined row."""
        return self.read + self.reexamined == sum(self.outcomes.values())

    @property
    def written(self) -> int:
        """Number of rows that the run has changed in the target."""
        return self.outcomes["created"] + self.outcomes["updated"] + self.outcomes["closed"]


def field_differences(plan: Plan, limit: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Yields (kind, key, field, before, after) for each field of the first ``limit`` changes. For a
    new row, empty fields are left out.

    Holds personal data: for the terminal, never for a log or an artifact.
    """
    columns = managed(plan.changes)
    shown = plan.changes.head(limit)
    changes = {name: arrow(shown[name]).to_pylist() for name in shown.columns}
    before = {name: arrow(plan.before[name]) for name in columns}
    row_of_key = {key: row for row, key in enumerate(strings(plan.before["key"]))}
    for i, (kind, key) in enumerate(zip(changes["kind"], changes["key"], strict=True)):
        if kind == "create":
            for name in columns:
                if changes[name][i] is not None:
                    yield kind, key, name, "", str(changes[name][i])
        else:
            row = row_of_key[key]
            for name in changes["fields"][i].split(","):
                yield kind, key, name, _text(before[name][row].as_py()), _text(changes[name][i])


def _text(value: object) -> str:
    return "" if value is None else str(value)

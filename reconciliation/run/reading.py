"""Decides once per run what is read, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from reconciliation.hints import Hint

from .order import Order

Kind = Literal["apply", "plan", "sweep", "hinted", "repair", "approved"]
"""Name of the kind of run in reports, in ``hrsync status`` and in the Prefect UI."""


@dataclass(frozen=True)
class Reading:
    """What a run reads, and what may be concluded from it. It is made once at the start of a
    run."""

    kind: Kind
    since: datetime | None
    """Read the records that changed from this moment on (UTC), instead of from the watermark."""
    full: bool
    """Read all records, whatever the watermark is."""
    whole: bool
    """Compare all of the source with all of the target. Only then does a missing record count as
    gone."""
    chosen: bool
    """Only records named by key are read. They say nothing about the feed's fields, and the
    watermark does not move."""
    named: tuple[str, ...] | None
    """Keys of the records that a repair names."""
    hints: tuple[Hint, ...]
    """The change notifications that this run takes."""

    @classmethod
    def of(cls, order: Order, hints: Sequence[Hint], sweep_is_open: bool) -> Reading:
        """Builds the reading from the options of the run.

        If a sweep was interrupted (``sweep_is_open``), the next run that writes continues it.
        """
        taken_up = sweep_is_open and order.mode == "apply" and order.named is None
        whole = order.sweep or taken_up
        # A notification without a key only says that something has changed, so the window of
        # changes is read.
        by_key = order.hinted and not whole and all(hint.key is not None for hint in hints)
        since = order.since
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        return cls(
            kind=_kind(order, whole),
            since=since,
            full=order.full,
            whole=whole,
            chosen=order.named is not None or by_key,
            named=order.named,
            hints=tuple(hints),
        )

    @property
    def looks_at_all(self) -> bool:
        """Whether all records are read, so that those that rest in quarantine are tried again."""
        return self.whole or self.full


def _kind(order: Order, whole: bool) -> Kind:
    if order.mode == "plan":
        return "plan"
    if order.approve:
        return "approved"
    if order.named is not None:
        return "repair"
    if whole:
        return "sweep"
    return "hinted" if order.hinted else "apply"

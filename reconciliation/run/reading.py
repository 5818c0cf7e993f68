"""What a run reads, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from reconciliation.hints import Hint

from .order import Order

Kind = Literal["apply", "plan", "sweep", "hinted", "repair", "approved"]
"""What a run is called in reports, in ``hrsync status`` and in the Prefect UI."""


@dataclass(frozen=True)
class Reading:
    """What a run reads, and what may be concluded from it. Made once; no step asks again."""

    kind: Kind
    since: datetime | None
    """Read what changed from this moment on (UTC), whatever the watermark says."""
    full: bool
    """Read everything, whatever the watermark says."""
    whole: bool
    """Compare all of the source with all of the target: only then may a missing record count."""
    chosen: bool
    """Only named records are read: they tell nothing about the feed's fields or the watermark."""
    named: tuple[str, ...] | None
    """Keys of the records that a repair names."""
    hints: tuple[Hint, ...]
    """The change notifications that this run takes."""

    @classmethod
    def of(cls, order: Order, hints: Sequence[Hint], sweep_is_open: bool) -> Reading:
        """``sweep_is_open``: a sweep was interrupted. The next run that writes takes it up."""
        taken_up = sweep_is_open and order.mode == "apply" and order.named is None
        whole = order.sweep or taken_up
        # A notification without a key says that something has changed: the window is read.
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
    return "sweep" if whole else "hinted" if order.hinted else "apply"

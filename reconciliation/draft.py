"""A draft: everything that a run has decided but not yet carried out. It can wait in the store for
an approval."""

from __future__ import annotations

from dataclasses import dataclass, field

from .hints import Hint
from .report import RunReport
from .settle import Compared
from .spec import ProcessSpec
from .watermark import Watermark


@dataclass(frozen=True)
class Draft:
    """A plan with everything needed to carry it out without reading the source again."""

    spec: ProcessSpec
    compared: Compared
    before: Watermark
    """The watermark when the run began."""
    after: Watermark
    """The watermark after the plan is carried out."""
    report: RunReport
    retried: tuple[str, ...] = ()
    """Keys from the quarantine that the run asked for and the source did not return."""
    looked_again: bool = False
    """Whether the run has read again everything in which earlier runs met records without a key."""
    whole: bool = False
    """Whether the run has read the whole feed."""
    drift: tuple[tuple[str, str], ...] | None = field(default=None)
    """Pairs of (field, "appeared" or "vanished") that this run saw in the feed; ``None`` if no
    record came."""
    hints: tuple[Hint, ...] = ()
    """The hints that the run has processed. They are not stored with a waiting draft, so that a
    later run reads those records again."""
    silent: tuple[str, ...] = ()
    """Columns that are empty in every record, if the source leaves out empty values."""

"""Everything that a run has decided and not yet done: what an approval approves, and what may wait
in the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from .hints import Hint
from .report import RunReport
from .settle import Compared
from .spec import ProcessSpec
from .watermark import Watermark


@dataclass(frozen=True)
class Draft:
    """A plan with all that carrying it out needs: the source is not read again."""

    spec: ProcessSpec
    compared: Compared
    before: Watermark
    """The watermark when the run began."""
    after: Watermark
    """The watermark when the plan is carried out."""
    report: RunReport
    retried: tuple[str, ...] = ()
    """Keys from the quarantine that were asked for and did not answer."""
    looked_again: bool = False
    """The run has read everything in which earlier runs met records without a key."""
    whole: bool = False
    """The run has read the whole feed."""
    drift: tuple[tuple[str, str], ...] | None = field(default=None)
    """(field, "appeared" or "vanished") as this run has seen the feed; ``None``: no record came."""
    hints: tuple[Hint, ...] = ()
    """The hints that the run has processed. They are not kept with a draft that waits: a later run
    looks again."""
    silent: tuple[str, ...] = ()
    """Columns in which nobody has a value, of a source that leaves out empty values."""

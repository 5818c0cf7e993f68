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
    """A plan with all that carrying it out needs; nothing has to be read from accessplanit again.

    before, after: the watermark as it was, and as it will be. retried: keys from the quarantine
    that were asked for and did not answer. looked_again: the run has read all in which earlier ones
    met records without a key. whole: it has read everything. drift: (field, "appeared" or
    "vanished") as this run has seen the feed; ``None`` if no record came. hints: those that the run
    has heard; not kept with a draft that waits, so that a later run looks again. silent: columns of
    the source of which nobody has a value, in a system that leaves out what has none.
    """

    spec: ProcessSpec
    compared: Compared
    before: Watermark
    after: Watermark
    report: RunReport
    retried: tuple[str, ...] = ()
    looked_again: bool = False
    whole: bool = False
    drift: tuple[tuple[str, str], ...] | None = field(default=None)
    hints: tuple[Hint, ...] = ()
    silent: tuple[str, ...] = ()

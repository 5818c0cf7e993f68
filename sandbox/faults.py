"""Misbehaviour on request: per call (header ``X-Sandbox-Fault``) or at a rate (``POST
/sandbox/faults``)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

KINDS = ("429", "500", "502", "503", "timeout", "cut", "shift", "malformed", "expired")
"""
429 with Retry-After · 500/502/503 · timeout: no answer for ``delay`` seconds · cut: the connection
ends in mid-body · shift: the page starts one row further, as if a row before it had gone ·
malformed: one record of the page is not what it should be · expired: the token is no longer known.
"""

LIES = ("half", "empty", "html", "error")
"""
Answers that look well: half of the rows, as if the others were not there · no rows · a page for
people with status 200 · an error with status 200. Drawn only when they are asked for.
"""


@dataclass
class Faults:
    """Draws the fault of a request, if it has one, and counts what it drew."""

    rate: float = 0.0
    kinds: tuple[str, ...] = KINDS
    seed: int = 0
    delay: float = 3.0
    retry_after: int = 0
    drawn: Counter[str] = field(default_factory=Counter)
    writes: str | None = None
    """What every write is answered with while this is set: a status such as ``403`` or ``503``,
    ``html``, a page for people with status 200, or ``cut``, a connection that ends in
    mid-answer."""
    done: bool = False
    """Whether such a write is carried out before it is answered so: then only its answer is
    lost."""
    spared: int = 0
    """Number of writes that are answered as usual before that."""
    reads: str | None = None
    """What every read is answered with while this is set; as ``writes``."""
    modules: tuple[str, ...] = ()
    """The modules that have these faults; none given: all."""

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - {*KINDS, *LIES}
        if unknown:
            raise ValueError(
                f"unknown faults {sorted(unknown)}; known: {', '.join((*KINDS, *LIES))}"
            )
        self._random = random.Random(self.seed)

    def draw(self, asked: str | None) -> str | None:
        """The fault of a request, if it has one; ``asked``: what the request itself asks for."""
        kind = asked if asked in (*KINDS, *LIES) else None
        if kind is None and self.rate and self._random.random() < self.rate:
            kind = self._random.choice(self.kinds)
        if kind:
            self.drawn[kind] += 1
        return kind

    def concerns(self, module: str) -> bool:
        """Whether requests for a module have these faults."""
        return not self.modules or module.lower() in {name.lower() for name in self.modules}

    def read(self, module: str) -> str | None:
        """What a read of a module is answered with instead; ``None``: nothing."""
        if self.reads is None or not self.concerns(module):
            return None
        self.drawn[self.reads] += 1
        return self.reads

    def write(self, module: str) -> str | None:
        """What becomes of the answer to a write to a module; ``None``: nothing."""
        if self.writes is None or not self.concerns(module):
            return None
        if self.spared > 0:
            self.spared -= 1
            return None
        self.drawn[self.writes] += 1
        return self.writes

    def spoil(self, rows: list[object]) -> None:
        """Makes one record of a page something that no client can take for that record."""
        if rows:
            place = self._random.randrange(len(rows))
            row = rows[place]
            if isinstance(row, dict) and self._random.random() < 0.7:
                rows[place] = {**row, "Status": {"unexpected": True}}
            else:
                rows[place] = "<<record could not be serialised>>"

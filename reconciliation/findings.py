"""What a historical reconciliation has found, as frames that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .aligned import align
from .classes import (
    AMBIGUOUS,
    BY_ITSELF,
    CLASSES,
    CLASSIFIED,
    EQUAL,
    EXPLAINED,
    FAULTS,
    MADE,
    ONLY,
    OUTSIDE,
    QUARANTINED,
    REPAIRED,
    UNLINKED,
    told,
)
from .frame import (
    ARROW,
    arrow,
    concat,
    empty,
    frame,
    is_among,
    of,
    pick,
    strings,
    true,
    with_columns,
)
from .inquiry import Inquiry
from .spec import ProcessSpec
from .view import View, alike_of

DIFFERENCES = {"key": "text", "field": "text", "source": "text", "target": "text", "ledger": "text"}
"""One row for each field that differs: what either side has, and what a run wrote last; as text."""
NAMES = ("employee_name", "surname")
SUBJECTS = ("award_label", "course_label", "job_role_label", "label")


@dataclass(frozen=True)
class Findings:
    """All of one answer.

    rows: ``classes.EXPLAINED`` and ``who`` · ``name`` · ``what``, of awards also ``state`` ·
    ``target_state`` as of the day, sorted by key. differences: :data:`DIFFERENCES` of the faults.
    began, ended: when both sides were read (UTC). mark: as far as the process has read. parts: how
    many reads, and how many of these were taken up from an interrupted run. requests: made for it.
    """

    spec: ProcessSpec
    inquiry: Inquiry
    rows: pd.DataFrame
    differences: pd.DataFrame
    source: str
    target: str
    began: datetime
    ended: datetime
    mark: datetime | None
    parts: int
    resumed: int
    requests: int

    @property
    def faults(self) -> pd.DataFrame:
        """The rows in which the target does not hold what it should."""
        return pick(
            self.rows, true(pc.is_in(arrow(self.rows["class"]), value_set=pa.array(FAULTS)))
        )

    def counts(self) -> dict[str, int]:
        """Class -> rows, with the sides by name; adds up to all rows."""
        number = self.rows["class"].value_counts()
        return {self.named(name): int(number.get(name, 0)) for name in CLASSES}

    def needs(self) -> dict[str, int]:
        """What the rows need: ``nothing`` (they are equal), ``time`` (the next runs settle them),
        ``repair``, ``person``; and those that nobody asks for: ``waiting`` (their person is not in
        the target) and ``outside`` (not in scope)."""
        classes, causes = arrow(self.rows["class"]), arrow(self.rows["cause"])

        fault = is_among(classes, pa.array(FAULTS))
        time = fault & is_among(causes, pa.array(sorted(BY_ITSELF)))
        repair = repairable(self.spec, self.rows) & ~time
        waiting = self._waiting
        person = (fault & ~time & ~repair) | (
            is_among(classes, pa.array([AMBIGUOUS, QUARANTINED])) & ~waiting
        )
        equal, outside = (is_among(classes, pa.array([name])) for name in (EQUAL, OUTSIDE))
        found = {
            "nothing": equal,
            "time": time,
            "repair": repair,
            "person": person,
            "waiting": waiting,
            "outside": outside,
        }
        return {name: int(mask.sum()) for name, mask in found.items()}

    @property
    def _waiting(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return true(pc.equal(arrow(self.rows["class"]), QUARANTINED)) & true(
            pc.equal(arrow(self.rows["cause"]), UNLINKED)
        )

    @property
    def odd(self) -> pd.DataFrame:
        """:meth:`published` of what somebody may have to look at, in the order of the classes: not
        what is equal, waits for its person or is out of scope."""
        settled = true(pc.is_in(arrow(self.rows["class"]), value_set=pa.array([EQUAL, OUTSIDE])))
        places = pc.index_in(arrow(self.rows["class"]), value_set=pa.array(CLASSES)).to_numpy(
            zero_copy_only=False
        )
        order = np.argsort(places, kind="stable")
        keep = ~(settled | self._waiting)
        return self.published().iloc[order[keep[order]]].reset_index(drop=True)

    def causes(self) -> pd.DataFrame:
        """``class`` · ``cause`` · ``remedy`` · ``rows`` of all that is not equal, the most
        first."""
        odd = pick(self.rows, np.asarray(pc.is_valid(arrow(self.rows["cause"]))))
        found = odd.groupby(["class", "cause", "remedy"]).size().rename("rows").reset_index()
        order = {name: place for place, name in enumerate(CLASSES)}
        found = found.assign(place=found["class"].map(order)).sort_values(
            ["place", "rows", "cause"], ascending=[True, False, True]
        )
        kinds = {"class": "text", "cause": "text", "remedy": "text", "rows": "number"}
        rows = [
            (self.named(a), self.named(b), self.named(c), int(n))
            for a, b, c, n in zip(
                found["class"], found["cause"], found["remedy"], found["rows"], strict=True
            )
        ]
        return of(kinds, rows)

    def named(self, text: str) -> str:
        """A class, cause or remedy with the sides by name."""
        return told(text, self.spec.source_side, self.spec.target_side)

    def published(self) -> pd.DataFrame:
        """``rows`` with the sides by name."""
        texts = {
            name: pa.array(
                [None if v is None else self.named(v) for v in strings(self.rows[name])],
                pa.string(),
            )
            for name in ("class", "cause", "remedy")
        }
        return with_columns(self.rows, texts)


def gathered(
    spec: ProcessSpec, view: View, classified: pd.DataFrame, explained: pd.DataFrame
) -> pd.DataFrame:
    """``Findings.rows``: what was compared, with its causes, and what was settled without; in the
    order of the keys."""
    right = pick(
        classified, ~true(pc.is_in(arrow(classified["class"]), value_set=pa.array(FAULTS)))
    )
    bare = with_columns(
        right,
        {
            name: pa.nulls(len(right), ARROW[kind])
            for name, kind in EXPLAINED.items()
            if name not in CLASSIFIED
        },
    )
    rows = concat(
        [bare[list(EXPLAINED)], explained[list(EXPLAINED)], view.settled[list(EXPLAINED)]]
    )
    order = rows.sort_values(["key", "source_key", "class"], na_position="last").index
    rows = rows.loc[order].reset_index(drop=True)
    ours = pc.index_in(arrow(rows["source_key"]), value_set=arrow(view.truth["source_key"]))
    theirs = pc.index_in(arrow(rows["key"]), value_set=arrow(view.there[spec.entity_key]))

    def first(names: tuple[str, ...]) -> pa.Array:
        name = next((name for name in names if name in view.truth and name in view.there), None)
        if name is None:
            return pa.nulls(len(rows), pa.string())
        return pc.coalesce(arrow(view.truth[name]).take(ours), arrow(view.there[name]).take(theirs))

    added = {
        "who": first((spec.holder if spec.person else spec.entity_key,)),
        "name": first(NAMES),
        "what": first(SUBJECTS),
    }
    if spec.award_states:
        added |= {
            "state": arrow(view.truth["state"]).take(ours),
            "target_state": arrow(view.there["state"]).take(theirs),
        }
    return with_columns(rows, added)


def differences(
    spec: ProcessSpec, view: View, faults: pd.DataFrame, written: pd.DataFrame
) -> pd.DataFrame:
    """:data:`DIFFERENCES` of the faults that both sides have; ``written``: the last versions that
    runs wrote."""
    key, compared = spec.entity_key, spec.compared()
    ours = pick(view.truth, true(pc.is_in(arrow(view.truth[key]), value_set=arrow(faults["key"]))))
    found = align(ours, view.there, key, compared, alike_of(spec))
    known = pc.index_in(arrow(ours[key]), value_set=arrow(written["key"]))
    parts = [empty(DIFFERENCES)]
    for number, name in enumerate(compared):
        rows, there = (
            pa.array(found.ours[found.differs[number]]),
            pa.array(found.theirs[found.differs[number]]),
        )
        last = (
            arrow(written[name]).take(known.take(rows))
            if name in written
            else pa.nulls(len(rows), pa.string())
        )
        columns = {
            "key": arrow(ours[key]).take(rows),
            "field": pa.array([name] * len(rows), pa.string()),
            "source": _text(arrow(ours[name]).take(rows)),
            "target": _text(arrow(view.there[name]).take(there)),
            "ledger": _text(last),
        }
        parts.append(frame(columns))
    return concat(parts).sort_values(["key", "field"]).reset_index(drop=True)


def repairable(spec: ProcessSpec, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows (``classes.EXPLAINED``) a repair takes in hand: of those that are only in the
    target the ones that it would close."""
    classes, causes = arrow(rows["class"]), arrow(rows["cause"])
    mask = is_among(classes, pa.array(FAULTS)) & is_among(causes, pa.array(sorted(REPAIRED)))
    only, made = true(pc.equal(classes, ONLY)), true(pc.equal(causes, MADE))
    return mask & ~(only & (spec.scope.gone != "close")) & ~(made & bool(spec.match))


def to_repair(spec: ProcessSpec, rows: pd.DataFrame, origin: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of the source's records that a repair reads again; where records are rows by their keys,
    those of rows without one too.

    origin: the target's key -> the record that it comes from.
    """
    asked = pick(rows, repairable(spec, rows))
    found = []
    for record, key in zip(strings(asked["source_key"]), strings(asked["key"]), strict=True):
        name = record or origin.get(str(key)) or (None if spec.match else key)
        found += [name] if name is not None else []
    return tuple(sorted(set(found)))


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return pc.strftime(values, "%Y-%m-%d %H:%M:%S")
    return values.cast(pa.string())

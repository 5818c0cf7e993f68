"""What a historical reconciliation has found, as frames that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from ..aligned import align
from ..frame import concat, empty
from ..spec import AwardStates, ProcessSpec
from ..tables import MOMENT, TEXT, looked_up, typed
from ..translate import alike_of
from .causes import BY_ITSELF, EXPLAINED, MADE, REPAIRED, UNLINKED
from .classes import AMBIGUOUS, CLASSES, EQUAL, FAULTS, ONLY, OUTSIDE, QUARANTINED
from .comparison import Comparison
from .inquiry import Inquiry

DIFFERENCES = {"key": "text", "field": "text", "source": "text", "target": "text", "ledger": "text"}
"""One row for each field that differs: what either side has, and what a run wrote last; as text."""
CAUSES = {"class": "text", "cause": "text", "remedy": "text", "rows": "number"}
"""How many rows of a class have a cause."""
NAMES = ("employee_name", "surname")
SUBJECTS = ("award_label", "course_label", "job_role_label", "label")


@dataclass(frozen=True)
class Findings:
    """All of one answer."""

    spec: ProcessSpec
    inquiry: Inquiry
    rows: pd.DataFrame
    """``causes.EXPLAINED`` and ``who`` · ``name`` · ``what``, of awards also ``state`` ·
    ``target_state`` as of the day, sorted by key."""
    differences: pd.DataFrame
    """:data:`DIFFERENCES` of the faults."""
    source: str
    target: str
    began: datetime
    """When reading began (UTC)."""
    ended: datetime
    mark: datetime | None
    """As far as the process has read."""
    parts: int
    """Number of reads."""
    resumed: int
    """How many of them an interrupted run had made."""
    requests: int
    """Requests that were made for it."""

    @property
    def faults(self) -> pd.DataFrame:
        """The rows in which the target does not hold what it should."""
        return self.rows[self.rows["class"].isin(FAULTS)].reset_index(drop=True)

    def counts(self) -> dict[str, int]:
        """Class -> rows, with the sides by name; adds up to all rows."""
        number = self.rows["class"].value_counts()
        return {self.named(name): int(number.get(name, 0)) for name in CLASSES}

    def needs(self) -> dict[str, int]:
        """What the rows need: ``nothing`` (they are equal), ``time`` (the next runs settle them),
        ``repair``, ``person``; and those that nobody asks for: ``waiting`` (their person is not in
        the target) and ``outside`` (not in scope)."""
        classes, waiting = self.rows["class"], self._waiting
        fault = classes.isin(FAULTS)
        time = fault & self.rows["cause"].isin(BY_ITSELF)
        repair = repairable(self.spec, self.rows) & ~time
        held = classes.isin([AMBIGUOUS, QUARANTINED]) & ~waiting
        found = {
            "nothing": classes == EQUAL,
            "time": time,
            "repair": repair,
            "person": (fault & ~time & ~repair) | held,
            "waiting": waiting,
            "outside": classes == OUTSIDE,
        }
        return {name: int(rows.sum()) for name, rows in found.items()}

    @property
    def _waiting(self) -> pd.Series[bool]:
        return (self.rows["class"] == QUARANTINED) & self.rows["cause"].isin([UNLINKED])

    @property
    def odd(self) -> pd.DataFrame:
        """:meth:`published` of what somebody may have to look at, in the order of the classes: not
        what is equal, waits for its person or is out of scope."""
        settled = self.rows["class"].isin([EQUAL, OUTSIDE]) | self._waiting
        rows = self.rows[~settled].sort_values("class", key=_in_order, kind="stable")
        return self._by_name(rows).reset_index(drop=True)

    def causes(self) -> pd.DataFrame:
        """:data:`CAUSES` of all that is not equal, the most first."""
        found = self.rows.groupby(["class", "cause", "remedy"]).size().rename("rows").reset_index()
        found = found.sort_values(
            ["class", "rows", "cause"], ascending=[True, False, True], key=_in_order
        )
        return self._by_name(typed(found, CAUSES))

    def named(self, text: str) -> str:
        """A class, cause or remedy with the sides by name."""
        return text.replace("the target", self.spec.target_side).replace(
            "the source", self.spec.source_side
        )

    def published(self) -> pd.DataFrame:
        """``rows`` with the sides by name."""
        return self._by_name(self.rows)

    def _by_name(self, rows: pd.DataFrame) -> pd.DataFrame:
        source, target = self.spec.source_side, self.spec.target_side
        return rows.assign(
            **{
                name: rows[name]
                .str.replace("the target", target, regex=False)
                .str.replace("the source", source, regex=False)
                for name in ("class", "cause", "remedy")
            }
        )


def _in_order(column: pd.Series[Any]) -> pd.Series[Any]:
    """For ``sort_values``: classes in the order of ``CLASSES``, other columns as they are."""
    if column.name != "class":
        return column
    return pd.Series(pd.Categorical(column, CLASSES, ordered=True), column.index)


def gathered(
    spec: ProcessSpec, compared: Comparison, classified: pd.DataFrame, explained: pd.DataFrame
) -> pd.DataFrame:
    """``Findings.rows``: what was compared, with its causes, and what was settled without; in the
    order of the keys."""
    right = classified[~classified["class"].isin(FAULTS)]
    rows = concat([typed(each, EXPLAINED) for each in (right, explained, compared.settled)])
    rows = rows.sort_values(["key", "source_key", "class"], na_position="last", ignore_index=True)
    who = spec.holder if spec.person else spec.entity_key
    shown = [*{"source_key", spec.entity_key, who, *NAMES, *SUBJECTS, "state"}]
    ours = looked_up(rows["source_key"], compared.expected.filter(shown), "source_key")
    theirs = looked_up(rows["key"], compared.actual.filter(shown), spec.entity_key)

    def first(*names: str) -> pd.Series[Any]:
        """The first of the columns that both sides have, as the source has it or else the
        target."""
        name = next((name for name in names if name in ours and name in theirs), None)
        if name is None:
            return pd.Series(pd.NA, rows.index, TEXT)
        return ours[name].fillna(theirs[name])

    rows = rows.assign(who=first(who), name=first(*NAMES), what=first(*SUBJECTS))
    if spec.rule(AwardStates):
        rows = rows.assign(state=ours["state"], target_state=theirs["state"])
    return rows


def differences(
    spec: ProcessSpec, compared: Comparison, faults: pd.DataFrame, written: pd.DataFrame
) -> pd.DataFrame:
    """:data:`DIFFERENCES` of the faults that both sides have; ``written``: the last versions that
    runs wrote."""
    key, names = spec.entity_key, spec.compared()
    ours = compared.expected[compared.expected[key].isin(faults["key"])]
    found = align(ours, compared.actual, key, names, alike_of(spec))
    last = looked_up(ours[key], written, "key")
    parts = [empty(DIFFERENCES)]
    for name, differs in zip(names, found.differs, strict=True):
        mine = ours.iloc[found.ours[differs]].reset_index(drop=True)
        theirs = compared.actual.iloc[found.theirs[differs]].reset_index(drop=True)
        wrote = last.iloc[found.ours[differs]].reset_index(drop=True)
        columns = {
            "key": mine[key],
            "field": name,
            "source": _text(mine[name]),
            "target": _text(theirs[name]),
            "ledger": _text(wrote[name]) if name in wrote else pd.NA,
        }
        parts.append(typed(pd.DataFrame(columns), DIFFERENCES))
    return concat(parts).sort_values(["key", "field"], ignore_index=True)


def repairable(spec: ProcessSpec, rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows (``causes.EXPLAINED``) a repair plans a change for. A row that only the target has
    is among them if the repair would close it."""
    taken = rows["class"].isin(FAULTS) & rows["cause"].isin(REPAIRED)
    if spec.scope.gone != "close":
        taken &= rows["class"] != ONLY
    if spec.match:
        taken &= ~rows["cause"].isin([MADE])
    return taken


def to_repair(spec: ProcessSpec, rows: pd.DataFrame, origin: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of the source's records that a repair reads again; where records are rows by their keys,
    those of rows without one too.

    origin: the target's key -> the record that it comes from.
    """
    asked = rows[repairable(spec, rows)]
    bare = asked.loc[asked["source_key"].isna(), "key"]
    found = {*asked["source_key"].dropna(), *(origin[key] for key in bare if key in origin)}
    if not spec.match:
        found.update(key for key in bare if key not in origin)
    return tuple(sorted(found))


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    moments = values.dtype == MOMENT
    return values.dt.strftime("%Y-%m-%d %H:%M:%S") if moments else values.astype(TEXT)

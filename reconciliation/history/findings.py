"""Gathers the results of a historical reconciliation in frames for the report."""

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
"""One row for each field that differs: the value on each side and the value that a run wrote last,
as text."""
CAUSES = {"class": "text", "cause": "text", "remedy": "text", "rows": "number"}
"""Number of rows for each class and cause."""
NAMES = ("employee_name", "surname")
SUBJECTS = ("award_label", "course_label", "job_role_label", "label")


@dataclass(frozen=True)
class Findings:
    """The complete answer to one inquiry."""

    spec: ProcessSpec
    inquiry: Inquiry
    rows: pd.DataFrame
    """``causes.EXPLAINED``, and ``who`` (key of the person), ``name`` and ``what`` (label of the
    award, course or job role). Awards also have ``state`` and ``target_state`` as of the day.
    Sorted by key."""
    differences: pd.DataFrame
    """:data:`DIFFERENCES` of the faults."""
    source: str
    target: str
    began: datetime
    """When reading began (UTC)."""
    ended: datetime
    mark: datetime | None
    """The watermark: the moment (UTC) up to which the process has read."""
    parts: int
    """Number of parts in which the source was read."""
    resumed: int
    """Number of parts that an interrupted run had already read."""
    requests: int
    """Number of requests that were made."""

    @property
    def faults(self) -> pd.DataFrame:
        """The rows in which the target does not hold what it should."""
        return self.rows[self.rows["class"].isin(FAULTS)].reset_index(drop=True)

    def counts(self) -> dict[str, int]:
        """Returns class -> number of rows, with the names of the sides. The numbers add up to all
        rows."""
        number = self.rows["class"].value_counts()
        return {self.named(name): int(number.get(name, 0)) for name in CLASSES}

    def needs(self) -> dict[str, int]:
        """Counts the rows by the action that they need.

        ``nothing``: they are equal. ``time``: the next runs correct them. ``repair``: a repair
        corrects them. ``person``: a person has to decide. ``waiting``: their person is not in the
        target. ``outside``: they are not in scope.
        """
        classes, waiting = self.rows["class"], self._waiting
        fault = classes.isin(FAULTS)
        time = fault & self.rows["cause"].isin(BY_ITSELF)
        repair = repairable(self.spec, self.rows) & ~time
        held = classes.isin([AMBIGUOUS, QUARANTINED]) & ~waiting
        masks = {
            "nothing": classes == EQUAL,
            "time": time,
            "repair": repair,
            "person": (fault & ~time & ~repair) | held,
            "waiting": waiting,
            "outside": classes == OUTSIDE,
        }
        return {name: int(rows.sum()) for name, rows in masks.items()}

    @property
    def _waiting(self) -> pd.Series[bool]:
        return (self.rows["class"] == QUARANTINED) & self.rows["cause"].isin([UNLINKED])

    @property
    def odd(self) -> pd.DataFrame:
        """Rows that a person may have to look at, with the names of the sides, in the order of the
        classes. Rows that are equal, out of scope or waiting for their person are left out."""
        settled = self.rows["class"].isin([EQUAL, OUTSIDE]) | self._waiting
        rows = self.rows[~settled].sort_values("class", key=_in_order, kind="stable")
        return self._by_name(rows).reset_index(drop=True)

    def causes(self) -> pd.DataFrame:
        """Counts the rows that are not equal by class, cause and remedy (:data:`CAUSES`), the most
        frequent first within a class."""
        counts = self.rows.groupby(["class", "cause", "remedy"]).size().rename("rows").reset_index()
        counts = counts.sort_values(
            ["class", "rows", "cause"], ascending=[True, False, True], key=_in_order
        )
        return self._by_name(typed(counts, CAUSES))

    def named(self, text: str) -> str:
        """Replaces "the target" and "the source" in a class, cause or remedy with the names of the
        sides."""
        return text.replace("the target", self.spec.target_side).replace(
            "the source", self.spec.source_side
        )

    def published(self) -> pd.DataFrame:
        """Returns ``rows`` with the names of the sides."""
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
    """Sort key for ``sort_values``: classes in the order of ``CLASSES``, other columns as they
    are."""
    if column.name != "class":
        return column
    return pd.Series(pd.Categorical(column, CLASSES, ordered=True), column.index)


def gathered(
    spec: ProcessSpec, compared: Comparison, classified: pd.DataFrame, explained: pd.DataFrame
) -> pd.DataFrame:
    """Builds ``Findings.rows`` from the compared rows with their causes and the rows that were
    settled without comparing, sorted by key."""
    right = classified[~classified["class"].isin(FAULTS)]
    rows = concat([typed(each, EXPLAINED) for each in (right, explained, compared.settled)])
    rows = rows.sort_values(["key", "source_key", "class"], na_position="last", ignore_index=True)
    person = spec.holder if spec.person else spec.entity_key
    shown = [*{"source_key", spec.entity_key, person, *NAMES, *SUBJECTS, "state"}]
    ours = looked_up(rows["source_key"], compared.expected.filter(shown), "source_key")
    theirs = looked_up(rows["key"], compared.actual.filter(shown), spec.entity_key)

    def first(*names: str) -> pd.Series[Any]:
        """Returns the first of these columns that both sides have: the source's value, or else the
        target's."""
        name = next((name for name in names if name in ours and name in theirs), None)
        if name is None:
            return pd.Series(pd.NA, rows.index, TEXT)
        return ours[name].fillna(theirs[name])

    rows = rows.assign(who=first(person), name=first(*NAMES), what=first(*SUBJECTS))
    if spec.rule(AwardStates):
        rows = rows.assign(state=ours["state"], target_state=theirs["state"])
    return rows


def differences(
    spec: ProcessSpec, compared: Comparison, faults: pd.DataFrame, written: pd.DataFrame
) -> pd.DataFrame:
    """Lists the fields that differ (:data:`DIFFERENCES`) of the faults that both sides have.
    ``written`` has the last version of each key that a run wrote."""
    key, names = spec.entity_key, spec.compared()
    ours = compared.expected[compared.expected[key].isin(faults["key"])]
    aligned = align(ours, compared.actual, key, names, alike_of(spec))
    last = looked_up(ours[key], written, "key")
    parts = [empty(DIFFERENCES)]
    for name, differs in zip(names, aligned.differs, strict=True):
        source = ours.iloc[aligned.ours[differs]].reset_index(drop=True)
        target = compared.actual.iloc[aligned.theirs[differs]].reset_index(drop=True)
        ledger = last.iloc[aligned.ours[differs]].reset_index(drop=True)
        columns = {
            "key": source[key],
            "field": name,
            "source": _text(source[name]),
            "target": _text(target[name]),
            "ledger": _text(ledger[name]) if name in ledger else pd.NA,
        }
        parts.append(typed(pd.DataFrame(columns), DIFFERENCES))
    return concat(parts).sort_values(["key", "field"], ignore_index=True)


def repairable(spec: ProcessSpec, rows: pd.DataFrame) -> pd.Series[bool]:
    """Returns the mask of rows (``causes.EXPLAINED``) for which a repair plans a change. A row that
    only the target has is included if the repair would close it."""
    mask = rows["class"].isin(FAULTS) & rows["cause"].isin(REPAIRED)
    if spec.scope.gone != "close":
        mask &= rows["class"] != ONLY
    if spec.match:
        # With match rules nothing tells which record such a row might belong to.
        mask &= ~rows["cause"].isin([MADE])
    return mask


def to_repair(spec: ProcessSpec, rows: pd.DataFrame, origin: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the source keys of the records that a repair reads again, sorted.

    Args:
        spec: the process.
        rows: ``Findings.rows``.
        origin: the target's key -> the source key of the record that the row comes from.
    """
    repaired = rows[repairable(spec, rows)]
    without_record = repaired.loc[repaired["source_key"].isna(), "key"]
    keys = {
        *repaired["source_key"].dropna(),
        *(origin[key] for key in without_record if key in origin),
    }
    if not spec.match:
        # Without match rules, the key of a row is also the key of its record.
        keys.update(key for key in without_record if key not in origin)
    return tuple(sorted(keys))


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    moments = values.dtype == MOMENT
    return values.dt.strftime("%Y-%m-%d %H:%M:%S") if moments else values.astype(TEXT)

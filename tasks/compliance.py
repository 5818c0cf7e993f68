"""Role compliance as a source: what HR holds against what accessplanit requires, as of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from reconciliation.ask import Ask
from reconciliation.errors import SourceFailed
from reconciliation.frame import arrow, frame, pick, strings, true
from reconciliation.job_roles import ASSIGNMENTS, AWARDS, COMPLIANCE, REQUIREMENTS, TARGETS, compliance
from reconciliation.ports import Hashes, Source, Target
from reconciliation.snapshot import Snapshot, among

from .extract import NOTHING

FEED = "RoleCompliance"
PEOPLE = {"status": "text", "company_id": "text", "company_name": "text", "forenames": "text", "surname": "text"}
"""Columns of employees."""


@dataclass(frozen=True)
class Needs:
    """What compliance is computed from, beside the awards themselves: ``job_roles.REQUIREMENTS``, ``ASSIGNMENTS`` and ``TARGETS``
    of people who have not left, and these people (``employee_id`` and the columns of :data:`PEOPLE`)."""

    requirements: pd.DataFrame
    assignments: pd.DataFrame
    targets: pd.DataFrame
    people: pd.DataFrame


def needs(source: Source, hr: Target, leavers: Sequence[str]) -> Needs:
    """Reads them. leavers: HR's statuses, in lower case, of people who need nothing any more.

    Raises:
        SourceFailed: the requirements could not be read in full.
    """
    read = source.read("AwardUserType", ["id", *REQUIREMENTS], (), Ask(skip_known=False), NOTHING, "0")
    if not read.complete or len(read.rejected):
        raise SourceFailed(
            "What job roles require could not be read in full", "The operator must run again later; what was published stays as it is."
        )
    people = hr.read("employees", PEOPLE, None).frame
    active = pick(people, ~true(pc.is_in(pc.utf8_lower(arrow(people["status"])), pa.array(leavers, pa.string()))))
    assignments = hr.read("assignments", ASSIGNMENTS, None).frame
    assignments = pick(assignments, true(pc.is_in(arrow(assignments["employee_id"]), value_set=arrow(active["employee_id"]))))
    return Needs(read.frame, assignments, hr.read("award_targets", TARGETS, None).frame, active)


class ComplianceSource:
    """Implements :class:`reconciliation.ports.Source` with one feed, computed once when it is first read.

    leavers: HR's statuses of people who need nothing any more.
    """

    def __init__(self, source: Source, target: Target, day: date, expiring_within_days: int, leavers: Sequence[str]) -> None:
        self._source, self._target, self.day, self._soon = source, target, day, expiring_within_days
        self._leavers = [text.lower() for text in leavers]
        self._found: pd.DataFrame | None = None
        self.name = f"{source.name} and {target.name}, as of {day:%d %b %Y}"

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._source.requests

    def kinds(self, feed: str) -> Mapping[str, str]:
        """The feed's columns."""
        return COMPLIANCE

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """None: what is computed has no moment of change."""
        return None

    def found(self) -> pd.DataFrame:
        """``job_roles.COMPLIANCE``.

        Raises:
            SourceFailed: the requirements could not be read in full.
        """
        if self._found is None:
            found = needs(self._source, self._target, self._leavers)
            awards = self._target.read("awards", AWARDS, None).frame
            self._found = compliance(found.requirements, found.assignments, awards, found.targets, self.day, self._soon)
        return self._found

    def read(self, feed: str, columns: Sequence[str], custom: Sequence[str], ask: Ask, known: Hashes, seed: str) -> Snapshot:
        """All rows, or those of some keys."""
        rows = self.found()[list(columns)]
        if ask.keys is not None:
            rows = pick(rows, true(pc.is_in(arrow(rows["id"]), value_set=pa.array(ask.keys, pa.string()))))
        encode, number = msgspec.json.Encoder().encode, int(seed, 16)
        lines = zip(*(strings(arrow(rows[n]).cast(pa.string())) for n in columns if n != "as_of"), strict=True)
        marks = np.array([int.from_bytes(xxhash.xxh3_64_digest(encode(line), number), signed=True) for line in lines], dtype=np.int64)
        old = among(marks, known) if ask.skip_known else np.zeros(len(rows), dtype=bool)
        rows = rows.assign(hash=frame({"hash": pa.array(marks)})["hash"])
        return Snapshot(pick(rows, ~old), True, read=len(rows), skipped=int(old.sum()))

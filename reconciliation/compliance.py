"""Role compliance, computed from the awards in HR and the requirements in accessplanit as of a day.
A process reads it like a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from .ask import Ask
from .errors import CredentialsRefused, Misconfigured, SourceFailed, TargetFailed
from .frame import concat, empty, fold
from .job_roles import (
    ASSIGNMENTS,
    AWARDS,
    COMPLIANCE,
    DOUBTED,
    REQUIREMENTS,
    TARGETS,
    WHY_DOUBTED,
    as_published,
    compliance,
)
from .ports import NO_HASHES, Hashes, Source, Target
from .snapshot import Snapshot, among
from .tables import NUMBER, folded, looked_up, row_hashes, typed
from .unreadable import people_of_unreadable

FEED = "RoleCompliance"
"""Name of the only feed of :class:`ComplianceSource`."""
PEOPLE = {
    "status": "text",
    "company_id": "text",
    "company_name": "text",
    "forenames": "text",
    "surname": "text",
}
"""Columns of employees that are read, name -> kind."""
RUN_AGAIN = "Run the flow again. Nothing was changed."


@dataclass(frozen=True)
class Needs:
    """The data from which compliance is computed, except the awards themselves."""

    requirements: pd.DataFrame
    """``job_roles.REQUIREMENTS``."""
    assignments: pd.DataFrame
    """``job_roles.ASSIGNMENTS`` of people who have not left."""
    targets: pd.DataFrame
    """``job_roles.TARGETS``."""
    people: pd.DataFrame
    """People who have not left: ``employee_id`` and the columns :data:`PEOPLE`."""
    everybody: pd.Series[str]
    """IDs of all employees who have not left, or whose row cannot be read."""
    doubted: pd.DataFrame
    """``job_roles.DOUBTED``: people with a row in HR that cannot be read."""


def needs(source: Source, hr: Target, leavers: Sequence[str]) -> Needs:
    """Reads :class:`Needs`. ``leavers`` are HR's statuses of people who have left.

    Raises:
        SourceFailed: the requirements could not be read in full.
        TargetFailed: HR could not be read in full.
    """
    read = source.read(
        "AwardUserType", ["id", *REQUIREMENTS], (), Ask(skip_known=False), NO_HASHES, "0"
    )
    if not read.complete or len(read.rejected):
        raise SourceFailed("The requirements of job roles could not be read in full", RUN_AGAIN)
    requirements = labelled(source, read.frame, "award_id", "award_label", "Award")
    requirements = labelled(source, requirements, "user_type_id", "user_type_label", "UserType")
    people = in_full(hr, "employees", PEOPLE)
    left = folded(people.frame["status"]).isin([fold(text) for text in leavers])
    active = people.frame[~left].reset_index(drop=True)
    everybody = pd.concat(
        [active["employee_id"], people.rejected["key"].dropna()], ignore_index=True
    )
    assignments = in_full(hr, "assignments", ASSIGNMENTS)
    targets = in_full(hr, "award_targets", TARGETS)
    reads = {"employees": people, "assignments": assignments, "award_targets": targets}
    doubts = [doubted(hr, entity, read, everybody) for entity, read in reads.items()]
    of_active = assignments.frame["employee_id"].isin(active["employee_id"])
    current = assignments.frame[of_active].reset_index(drop=True)
    return Needs(requirements, current, targets.frame, active, everybody, concat(doubts))


def labelled(source: Source, rows: pd.DataFrame, key: str, label: str, feed: str) -> pd.DataFrame:
    """Fills missing labels from the feed that has them. If that feed cannot be read, they stay
    empty."""
    lacking = rows[label].isna() & rows[key].notna()
    if not lacking.any():
        return rows
    ask = Ask(keys=tuple(rows.loc[lacking, key].unique()), skip_known=False)
    try:
        labels = source.read(feed, ["id", "label"], (), ask, NO_HASHES, "0").frame
    except (CredentialsRefused, Misconfigured, SourceFailed):
        return rows
    return rows.assign(**{label: rows[label].fillna(looked_up(rows[key], labels, "id")["label"])})


def in_full(
    hr: Target,
    entity: str,
    columns: Mapping[str, str],
    lookups: Mapping[str, Sequence[str]] | None = None,
) -> Snapshot:
    """Reads the rows of an HR entity that have one of the values in ``lookups`` (column -> values).
    Without ``lookups``, it reads all rows.

    Raises:
        TargetFailed: they could not be read in full.
    """
    read = hr.read(entity, columns, lookups)
    if not read.complete:
        raise TargetFailed(f"{entity} could not be read in full from {hr.name}", RUN_AGAIN)
    return read


def doubted(hr: Target, entity: str, read: Snapshot, everybody: pd.Series[str]) -> pd.DataFrame:
    """Returns ``job_roles.DOUBTED`` for the people of the rejected rows."""
    people = people_of_unreadable(hr, entity, read, everybody)
    return typed(pd.DataFrame({"employee_id": people, "doubt": WHY_DOUBTED[entity]}), DOUBTED)


class ComplianceSource:
    """Implements :class:`reconciliation.ports.Source` with one feed, which is computed when it is
    first read.

    Args:
        source: accessplanit.
        target: the HR system.
        day: the day as of which compliance is computed.
        expiring_within_days: days before the expiry date from which an award counts as expiring.
        leavers: HR's statuses of people who have left.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        day: date,
        expiring_within_days: int,
        leavers: Sequence[str],
    ) -> None:
        self._source, self._target, self.day, self._soon = source, target, day, expiring_within_days
        self._leavers = leavers
        self._found: pd.DataFrame | None = None
        self.name = f"{source.name} and {target.name}, as of {day:%d %b %Y}"

    @property
    def requests(self) -> int:
        """Number of requests made so far."""
        return self._source.requests

    def kinds(self, feed: str) -> Mapping[str, str]:
        """Returns the feed's columns, name -> kind."""
        return {**COMPLIANCE, "doubt": "text"}

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """Returns ``None``: computed rows have no moment of change."""
        return None

    def found(self) -> pd.DataFrame:
        """Returns the columns ``job_roles.COMPLIANCE``, and ``doubt``: the reason why a row was not
        computed but kept as published; null for computed rows.

        Raises:
            SourceFailed: the requirements could not be read in full.
            TargetFailed: HR could not be read in full.
        """
        if self._found is None:
            need = needs(self._source, self._target, self._leavers)
            awards = in_full(self._target, "awards", AWARDS)
            doubts = concat([need.doubted, doubted(self._target, "awards", awards, need.everybody)])
            computed = compliance(
                need.requirements,
                need.assignments,
                awards.frame,
                need.targets,
                self.day,
                self._soon,
            )
            self._found = as_published(computed, self._published(doubts), doubts)
        return self._found

    def _published(self, doubts: pd.DataFrame) -> pd.DataFrame:
        """Reads the rows that HR has of the people in ``doubts`` (columns
        ``job_roles.COMPLIANCE``)."""
        if not len(doubts):
            return empty(COMPLIANCE)
        in_hr = {"id": "compliance_id", "user_id": "accessplanit_user_id"}
        columns = {in_hr.get(name, name): k for name, k in COMPLIANCE.items() if name != "id"}
        people = {"employee_id": doubts["employee_id"].unique().tolist()}
        read = in_full(self._target, "role_compliance", columns, people)
        return read.frame.rename(columns={name: ours for ours, name in in_hr.items()})[
            list(COMPLIANCE)
        ]

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        """Returns the rows with the keys that ``ask`` names, or all rows. With ``ask.skip_known``
        it leaves out rows whose hash is in ``known``."""
        rows = self.found()[list(columns)]
        if ask.keys is not None:
            rows = rows[rows["id"].isin(ask.keys)]
        # Without the day, which is another every day while the rest of the row stays the same.
        marks = row_hashes(rows[[name for name in columns if name != "as_of"]], seed)
        old = among(marks, known) if ask.skip_known else np.zeros(len(rows), dtype=bool)
        new = rows.assign(hash=pd.Series(marks, rows.index, NUMBER))[~old].reset_index(drop=True)
        return Snapshot(new, True, read=len(rows), skipped=int(old.sum()))

"""The mappings of ``flows/mappings``, or those of your own folder (``HRSYNC_MAPPINGS``), read when
a flow is loaded."""

from __future__ import annotations

from pathlib import Path

from connectors.accessplanit.feeds import FEEDS, kinds
from connectors.mapping import load_mapping
from connectors.settings import load
from reconciliation.mapping import Mapping
from reconciliation.spec import FieldMap

_OWN = load().mappings
FOLDERS = [*([_OWN] if _OWN else []), Path(__file__).parent / "mappings"]


def to_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """A mapping's fields on their way to HR."""
    return mapping.to_hr(kinds(FEEDS[mapping.feed]))


def from_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """A mapping's fields on their way back."""
    return mapping.from_hr(kinds(FEEDS[mapping.feed]))


PEOPLE = load_mapping("people", FOLDERS)
AWARDS = load_mapping("awards", FOLDERS)
AWARD_TARGETS = load_mapping("award_targets", FOLDERS)
DELEGATES = load_mapping("delegates", FOLDERS)
COURSE_REQUESTS = load_mapping("course_requests", FOLDERS)
JOB_ROLES = load_mapping("job_roles", FOLDERS)
ASSIGNMENTS = load_mapping("assignments", FOLDERS)

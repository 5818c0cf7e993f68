"""The errors a run can end with, and who must act.

::

    HrsyncError
    ├── Misconfigured        the data engineer: a setting, a field, a feed or a parameter is wrong
    ├── CredentialsRefused   the accessplanit administrator: key, password or rights
    ├── SourceFailed         accessplanit did not answer, or answered what cannot be believed
    ├── TargetFailed         the HR system cannot be reached or refused everything
    ├── StoreFailed          the sync store cannot be reached or is of another version
    ├── UnsafePlan           the HR or training manager: the plan is larger than its guard allows
    ├── StalePlan            nobody, or whoever approved: HR has moved since the plan was made;
    there is a new one ├── Skipped              nobody: there was nothing for this run to do └──
    Defect               the data engineer: this program has met what it did not foresee

One bad record is no error: it is quarantined, and the run goes on.
Messages never hold personal data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class HrsyncError(Exception):
    """``what`` happened and ``remedy``: who must do what."""

    answered: pd.DataFrame | None = None
    """Receipts (``receipts.RECEIPTS``) of the changes that a target had answered before this ended
    it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.remedy)


class Misconfigured(HrsyncError):
    """A setting, field, feed or parameter is wrong."""


class CredentialsRefused(HrsyncError):
    """accessplanit does not accept the credentials, or they lack a right."""


class SourceFailed(HrsyncError):
    """accessplanit did not answer, or its answer cannot be believed."""


class TargetFailed(HrsyncError):
    """The HR system cannot be reached, or refused everything."""


class StoreFailed(HrsyncError):
    """The sync store cannot be reached, or its tables are of another version."""


class UnsafePlan(HrsyncError):
    """The plan is larger than its guard allows; ``digest`` names it exactly."""

    def __init__(self, what: str, remedy: str, digest: str = "") -> None:
        super().__init__(what, remedy)
        self.digest = digest

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.remedy, self.digest)


class StalePlan(HrsyncError):
    """A stored plan cannot be applied: HR has moved since, it was applied or rejected already, or
    it was altered."""


class Skipped(HrsyncError):
    """There is nothing for this run to do, and that is well: another one does it, or a person has
    to decide first."""


class Refused(Exception):
    """A target has refused changes as a whole and carried out none of them; ``reason`` holds no
    personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Defect(HrsyncError):
    """This program has met what it did not foresee. Names the place, never a value."""

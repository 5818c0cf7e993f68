"""The errors a run can end with, and where each is put right.

::

    HrsyncError
    ├── Misconfigured        a setting, a field, a feed or a parameter is wrong
    ├── CredentialsRefused   a key, a password or a right
    ├── SourceFailed         the source did not answer, or answered what cannot be believed
    ├── TargetFailed         the target cannot be reached or refused everything
    ├── StoreFailed          the sync store cannot be reached or is of another version
    ├── UnsafePlan           the plan is larger than its guard allows: a person decides
    ├── StalePlan            the target has moved since the plan was made; there is a new one
    ├── Skipped              there was nothing for this run to do: no action needed
    └── Defect               this program has met what it did not foresee

A bad record is not an error: it is quarantined, and the run goes on.
Messages never hold personal data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pandas as pd


class HrsyncError(Exception):
    """``what`` happened and where, and the ``remedy``: what to do, in the imperative."""

    fix_in: ClassVar[str] = ""
    """Where it is put right, as a label for people; empty: nowhere."""

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

    fix_in = "settings"


class CredentialsRefused(HrsyncError):
    """accessplanit does not accept the credentials, or they lack a right."""

    fix_in = "credentials"


class SourceFailed(HrsyncError):
    """accessplanit did not answer, or its answer cannot be believed."""

    fix_in = "source"


class TargetFailed(HrsyncError):
    """The HR system cannot be reached, or refused everything."""

    fix_in = "target"


class StoreFailed(HrsyncError):
    """The sync store cannot be reached, or its tables are of another version."""

    fix_in = "sync store"


class UnsafePlan(HrsyncError):
    """The plan is larger than its guard allows; ``digest`` names it exactly."""

    fix_in = "plan"

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

    fix_in = "hrsync"

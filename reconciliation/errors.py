"""The errors that can end a run, and where to fix each of them.

::

    HrsyncError
    ├── Misconfigured        a setting, a field or a feed is wrong
    │   └── WrongInput       an argument of a command, or a field of a form, is wrong
    ├── CredentialsRefused   a key or password is wrong, or lacks a right
    ├── SourceFailed         the source did not answer, or its answer cannot be trusted
    ├── TargetFailed         the target cannot be reached, or refused everything
    ├── StoreFailed          the sync store cannot be reached, or has another version
    ├── UnsafePlan           the plan is larger than its guard allows: a person decides
    ├── StalePlan            the target has changed since the plan was made
    ├── Skipped              there was nothing for this run to do: no action needed
    └── Defect               an unforeseen error: a bug in this program

A bad record is not an error: it is quarantined, and the run goes on.
Messages never hold personal data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import pandas as pd


class HrsyncError(Exception):
    """An error with two sentences: ``what`` happened and where, and the ``remedy`` (what to do, in
    the imperative)."""

    fix_in: ClassVar[str] = ""
    """Where to fix it, as a label in messages. Empty if there is nothing to fix."""

    answered: pd.DataFrame | None = None
    """Receipts (``receipts.RECEIPTS``) of the changes that a target had answered before this error
    ended the call."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.remedy)


class Misconfigured(HrsyncError):
    """A setting, a mapping, a field or a feed is wrong."""

    fix_in = "settings"


class WrongInput(Misconfigured):
    """What somebody has typed into a command or a form does not fit."""

    fix_in = "command or form"


class CredentialsRefused(HrsyncError):
    """accessplanit does not accept the credentials, or they lack a right."""

    fix_in = "credentials"


class SourceFailed(HrsyncError):
    """accessplanit did not answer, or its answer cannot be trusted."""

    fix_in = "source"


class TargetFailed(HrsyncError):
    """The HR system cannot be reached, or refused everything."""

    fix_in = "target"


class StoreFailed(HrsyncError):
    """The sync store cannot be reached, or its tables have another version."""

    fix_in = "sync store"


class UnsafePlan(HrsyncError):
    """The plan is larger than its guard allows; ``digest`` identifies the plan."""

    fix_in = "plan"

    def __init__(self, what: str, remedy: str, digest: str = "") -> None:
        super().__init__(what, remedy)
        self.digest = digest

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.remedy, self.digest)


class StalePlan(HrsyncError):
    """A stored plan cannot be applied: the target has changed since, or the plan was already
    applied, rejected or altered."""


class Skipped(HrsyncError):
    """This run has nothing to do: another run does it, or a person has to decide first."""


class Refused(Exception):
    """A target has refused a batch of changes as a whole and carried out none of them. ``reason``
    holds no personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Defect(HrsyncError):
    """An unforeseen error: a bug in this program. It names the place in the code, never a value."""

    fix_in = "hrsync"

"""How this sandbox answers the questions that the public knowledge of API v2 leaves open.

Every field is one assumption. ``STANDARD`` takes the answers that have some evidence; ``AWKWARD``
takes the other answer wherever there is one. The numbers in brackets name the oddities of the API
notes, section (i).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tenant:
    """One answer to each open question about API v2."""

    name: str
    count_key: str | None = "count"
    """Envelope key of the total that ``$count=true`` asks for; ``None``: the tenant does not
    count."""
    max_page: int = 1000
    """The most rows one page holds, whatever ``$top`` asks; ``$top=-1`` means this many."""
    default_page: int = 100
    quoted_dates: bool = False
    """A date literal in ``$filter`` stands in quotes; if not, it stands bare. The other form
    answers 400."""
    arrays_for_dropdowns: bool = False
    """Drop-down fields (MainRoleID, Country, Title) come as one-element arrays, ``[]`` when empty
    [2]."""
    has_date_updated: bool = True
    """Whether the feeds carry ``DateUpdated``; without it only full sweeps are possible."""
    status_in_progress: str = "In Progress"
    wire_names: dict[tuple[str, str], str] = field(default_factory=dict)
    """(module, this sandbox's name) -> the name on the wire."""
    upsert_parameter: str = "upsert"
    item_read: bool = True
    """Whether ``GET /{Module}/{id}`` exists."""


STANDARD = Tenant("standard")

AWKWARD = Tenant(
    "awkward",
    count_key=None,
    max_page=100,
    default_page=25,
    quoted_dates=True,
    arrays_for_dropdowns=True,
    has_date_updated=False,
    status_in_progress="InProgress",
    wire_names={
        ("UserAward", "Passed"): "CompletionDate",
        ("UserAward", "Expires"): "ExpiryDate",
        ("UserAward", "UserFullname"): "UserFullName",
    },
    item_read=False,
)

TENANTS = {tenant.name: tenant for tenant in (STANDARD, AWKWARD)}

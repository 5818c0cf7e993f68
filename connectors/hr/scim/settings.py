"""Settings of a SCIM server, and the columns that it can hold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from reconciliation.capabilities import Capabilities, Holds
from reconciliation.frame import Kind

from ...address import Address

LOST = (
    "country (SCIM wants a code), access role, marketing opt-in, company ID and custom fields "
    "have no place in SCIM's user"
)


class ScimSettings(BaseModel):
    """A SCIM 2.0 server and how it identifies people."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    base_url: Address | None = Field(
        None, description="address including the version, such as https://hr.example/scim/v2"
    )
    token: SecretStr | None = Field(None, description="bearer token")
    key: Literal["employee_number", "user_name"] = Field(
        "employee_number",
        description="the employee's ID: the enterprise extension's employeeNumber, or userName",
    )
    user_name: Literal["email", "employee_id"] = Field(
        "email",
        description="userName of a new person; the ID is used without an e-mail address",
    )
    without: tuple[str, ...] = Field(
        (),
        description="columns that this server accepts but does not store, such as accessplanit_id",
    )
    timeout: float = Field(30.0, gt=0, description="seconds for one request")
    attempts: int = Field(5, ge=0, description="maximum number of retries of one request")
    backoff: float = Field(0.5, ge=0, description="seconds before the first retry; doubles")


def capabilities(settings: ScimSettings, absent: frozenset[str] = frozenset()) -> Capabilities:
    """Returns what a server with the full core and enterprise user schemas can hold, without the
    ``absent`` columns."""
    names = (
        "accessplanit_id forenames surname email phone mobile job_title status company_name "
        "address town county postcode"
    )
    columns: dict[str, Kind] = {
        name: "text" for name in names.split() if name not in {*settings.without, *absent}
    }
    read_only: dict[str, Kind] = {"employee_number": "text", "written_at": "moment"}
    if settings.key == "user_name":
        read_only.pop("employee_number")
        if not absent & {"employee_number"}:
            columns["employee_number"] = "text"
    people = Holds(
        key="employee_id",
        columns=columns,
        read_only=read_only,
        same={"status": (("New", "Enabled"),)},
        lost=LOST,
    )
    return Capabilities(system="the SCIM server", entities={"employees": people})

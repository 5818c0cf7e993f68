"""Settings of BambooHR, and the entities and columns that it can hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from reconciliation.capabilities import Capabilities, Holds
from reconciliation.frame import Kind
from reconciliation.values import NO_END

from ...address import Address

FIELDS: Mapping[str, str] = {
    "id": "id",
    "employee_id": "employeeNumber",
    "forenames": "firstName",
    "surname": "lastName",
    "email": "workEmail",
    "phone": "workPhone",
    "mobile": "mobilePhone",
    "job_title": "jobTitle",
    "status": "status",
    "address": "address1",
    "town": "city",
    "county": "state",
    "postcode": "zipcode",
    "country": "country",
}
"""Column -> BambooHR's default name of the field, assumed to be the same in the employee endpoints
and in the dataset. Settings can override it."""


class BamboohrSettings(BaseModel):
    """A BambooHR account and the names of its fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    base_url: Address | None = Field(None, description="https://{company}.bamboohr.com")
    api_key: SecretStr | None = Field(
        None,
        description="key of a user who may read and write employees, job information and training",
    )
    dataset: str = Field("employee", description="the dataset from which people are read")
    fields: Mapping[str, str] = Field(
        {},
        description="column of employees -> BambooHR's field, where it differs from the default",
    )
    accessplanit_field: str | None = Field(
        None, description="a custom field for the user's ID in accessplanit"
    )
    category: str = Field(
        "accessplanit", description="the training category in which new training types are created"
    )
    expiry_table: str | None = Field(
        None,
        description="a custom employee table for expiry dates; without it an award must expire at "
        "the end of its type's renewal period",
    )
    expiry_record: str = Field(
        "accessplanitRecord", description="its column with the award record's ID"
    )
    expiry_date: str = Field("expires", description="its column with the date")
    no_end: tuple[date, ...] = Field(
        tuple(sorted(NO_END)), description="dates that stand for no date"
    )
    webhook_key: SecretStr | None = Field(
        None, description="the private key that BambooHR shows once, when the webhook is created"
    )
    timeout: float = Field(30.0, gt=0, description="seconds for one request")
    attempts: int = Field(6, ge=0, description="maximum number of retries of one request")
    backoff: float = Field(
        0.5,
        ge=0,
        description="seconds before the first retry; doubles. Retry-After replaces it if BambooHR "
        "sends it",
    )

    def names(self) -> dict[str, str]:
        """Maps columns to BambooHR's fields."""
        own = {"accessplanit_id": self.accessplanit_field} if self.accessplanit_field else {}
        return {**FIELDS, **own, **self.fields}


def capabilities(settings: BamboohrSettings) -> Capabilities:
    """Returns what BambooHR can hold: people and completed awards."""
    columns: dict[str, Kind] = {
        name: "text" for name in settings.names() if name not in ("id", "employee_id")
    }
    people = Holds(
        key="employee_id",
        columns=columns,
        read_only={"employee_number": "text"},
        same={"status": (("New", "Enabled"),)},
        lost="company, access role, marketing opt-in and custom fields have no field of their own;"
        " the user's ID in accessplanit needs a custom field",
    )
    awards = Holds(
        key="award_record_id",
        columns={
            "employee_id": "text",
            "award_id": "text",
            "award_label": "text",
            "status": "text",
            "completed_on": "day",
            "expires_on": "day",
        },
        by_person=True,
        lost="only completed awards; an expiry that is not the training type's renewal period "
        "needs a custom table;"
        " no state, target date or renewal",
    )
    return Capabilities(system="BambooHR", entities={"employees": people, "awards": awards})

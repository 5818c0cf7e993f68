"""Defines the feeds: one pydantic model for each, the only definition of its records.

A field's alias is the vendor's spelling. It is matched in upper or lower case, and
:attr:`Dialect.names` can override it. All other code uses the field's Python name. The vendor's
JSON types vary, so the validators accept a value, a number or a one-element list, and ``""``,
``[]``, ``{}`` or ``null`` for no value.
"""

from __future__ import annotations

import re
import types
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reconciliation import values
from reconciliation.frame import Kind, fold
from reconciliation.validation import fault_of
from reconciliation.values import LONGEST

MARKUP = "markup"
"""Marks text that the vendor writes as HTML, with ``<br />`` between lines."""
_SPACE = "\\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
EMAIL = rf"^[^@{_SPACE}]+@[^@{_SPACE}]+\.[^@{_SPACE}]+$"
"""Pattern of an e-mail address. It lists all Unicode spaces, because ``\\s`` means only ASCII
spaces in Arrow and all of them in pydantic."""


def _one(value: Any) -> Any:
    """Unwraps a one-element list. An empty list, object or text becomes ``None``."""
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError("holds several values where one is expected")
        value = value[0] if value else None
    return None if value in ("", {}) else value


def _text(value: Any) -> str | None:
    return values.text(_one(value))


def _flag(value: Any) -> bool | None:
    return values.flag(_one(value))


def _moment(value: Any, info: ValidationInfo) -> datetime | None:
    return values.moment(_one(value), _no_end(info))


def _no_end(info: ValidationInfo) -> frozenset[date]:
    """Returns the dates by which the tenant means no date (``Dialect.no_end``)."""
    return info.context["no_end"] if info.context else values.NO_END


def _start(value: Any, info: ValidationInfo) -> datetime | None:
    """Reads a moment, or the start of a course date's label such as "31/01/2025 09:00 - 19:55"."""
    label = (
        re.match(r"\s*(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d)\b", value)
        if isinstance(value, str)
        else None
    )
    return _moment("{2}-{1}-{0}T{3}".format(*label.groups()) if label else value, info)


def _day(value: Any, info: ValidationInfo) -> date | None:
    return values.day(_one(value), _no_end(info))


AwardStatusName = Literal["Completed", "In Progress", "Target", "On Hold"]
_STATUSES: dict[str, str] = {fold(name): name for name in get_args(AwardStatusName)}
_STATUSES |= {str(number): name for number, name in enumerate(get_args(AwardStatusName))}


def _award_status(value: Any) -> str | None:
    text = _text(value)
    if text is None:
        return None
    if fold(text) not in _STATUSES:
        raise ValueError("is not one of Completed, In Progress, Target, On Hold")
    return _STATUSES[fold(text)]


DelegateStatusName = Literal[
    "Unknown",
    "Cancelled",
    "Completed",
    "Provisional",
    "In Progress",
    "Booked",
    "On Hold",
    "No Attend",
    "Waiting List",
    "Deferred",
    "Failed",
    "Attended",
    "Transferred",
    "Unconfirmed",
]
_DELEGATES: dict[str, str] = {fold(name): name for name in get_args(DelegateStatusName)}
_DELEGATES |= {"0": "Unknown"} | {
    str(2**n): name for n, name in enumerate(get_args(DelegateStatusName)[1:])
}


def _delegate_status(value: Any) -> str | None:
    text = _text(value)
    if text is None:
        return None
    if fold(text) not in _DELEGATES:
        raise ValueError("is not a delegate status of the importer's list")
    return _DELEGATES[fold(text)]


def _whole(value: Any) -> int | None:
    return values.number(_one(value))


def _custom(value: Any) -> Any:
    """Checks the value of a custom field: text, a number, true or false, or a list of these."""
    encoded = values.encoded(value)
    if encoded is not None and len(encoded) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    return value


Text = Annotated[Annotated[str, Field(max_length=LONGEST)] | None, BeforeValidator(_text)]
Required = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=250)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Start = Annotated[datetime | None, BeforeValidator(_start)]
Day = Annotated[date | None, BeforeValidator(_day)]
Email = Annotated[
    Annotated[str, Field(max_length=80, pattern=EMAIL)] | None, BeforeValidator(_text)
]
Custom = Annotated[Any, BeforeValidator(_custom)]
Whole = Annotated[int | None, BeforeValidator(_whole)]
AwardStatus = Annotated[AwardStatusName, BeforeValidator(_award_status)]
DelegateStatus = Annotated[DelegateStatusName, BeforeValidator(_delegate_status)]
"""A status of the importer's list, or its number there [HELP]. A status of several words may be
written without spaces."""


def reason_of(error: ErrorDetails) -> str:
    """Returns why a value was rejected, without the value."""
    if error["type"] == "string_pattern_mismatch":
        return "is not a valid e-mail address"
    if error["type"] in ("string_type", "literal_error"):
        # Values of other types were refused before. Only a missing value gets this far.
        return "is empty"
    if error["type"] == "too_long":
        return f"has more than {error['ctx']['max_length']} characters"
    return fault_of(error)


class Record(BaseModel):
    """A record of a feed. Unknown fields are not an error; they are reported as drift."""

    model_config = ConfigDict(extra="ignore")

    id: Required = Field(alias="ID")
    created_at: Moment = Field(None, alias="DateCreated")
    updated_at: Moment = Field(None, alias="DateUpdated")


class User(Record):
    """A person. The maximum lengths are the field rules of API v1 [V1]."""

    external_id: Text = Field(None, alias="ExternalID")
    forenames: Annotated[Required, Field(max_length=50)] = Field(alias="Forenames")
    surname: Annotated[Required, Field(max_length=40)] = Field(alias="Surname")
    company_id: Text = Field(None, alias="MainCompanyID")
    company_name: Text = Field(None, alias="MainCompanyName")
    access_role_id: Text = Field(None, alias="MainRoleID")
    access_role: Text = Field(None, alias="MainRoleLabel")
    job_title: Text = Field(None, alias="JobTitle")
    status: Required = Field(alias="Status")
    full_address: Annotated[Text, MARKUP] = Field(None, alias="FullAddress")
    email: Email = Field(None, alias="Email")
    phone: Text = Field(None, alias="Phone")
    mobile: Text = Field(None, alias="Mobile")
    marketing_opt_in: Flag = Field(None, alias="MarketingOptIn")

    address: Text = Field(None, alias="Address")
    town: Text = Field(None, alias="Town")
    county: Text = Field(None, alias="County")
    postcode: Text = Field(None, alias="Postcode")
    country: Text = Field(None, alias="Country")


class UserAward(Record):
    """An award of a person. The wire names of ``completed_on`` and ``expires_on`` are the column
    names of the importer [HELP]."""

    user_id: Required = Field(alias="UserID")
    user_full_name: Text = Field(None, alias="UserFullname")
    award_id: Required = Field(alias="AwardID")
    award_label: Text = Field(None, alias="AwardLabel")
    status: AwardStatus = Field(alias="Status")
    target_date: Day = Field(None, alias="TargetDate")
    completed_on: Day = Field(None, alias="Passed")
    expires_on: Day = Field(None, alias="Expires")
    renewed: Flag = Field(None, alias="Renewed")


class UserCourseDate(Record):
    """A delegate: a person on a course date.

    The company is the one that the user has booked with. The wire names of ``starts_at`` and
    ``ends_at`` are those in the vendor's demo. CourseDateStartDate is a label, not a date, in the
    guide's example; ``Dialect.names`` can point ``starts_at`` to it, since labels are understood.
    ``course_id`` and ``training_provider_id`` are assumed to be named as in other modules [INF].
    """

    user_id: Required = Field(alias="UserID")
    user_full_name: Text = Field(None, alias="UserFullName")
    email: Text = Field(None, alias="CandidateEmailAddress")
    course_date_id: Required = Field(alias="CourseDateID")
    course_label: Text = Field(None, alias="CourseDateDetailsLabel")
    course_starts: Text = Field(None, alias="CourseDateStartDate")
    starts_at: Start = Field(None, alias="StartDate")
    ends_at: Moment = Field(None, alias="EndDate")
    company_id: Text = Field(None, alias="CompanyID")
    company_name: Text = Field(None, alias="CompanyName")
    managers_emails: Text = Field(None, alias="ManagersEmailAddresses")
    status: DelegateStatus = Field(alias="Status")
    description: Text = Field(None, alias="Description")
    course_id: Text = Field(None, alias="CourseID")
    training_provider_id: Text = Field(None, alias="TrainingProviderID")


class ManagerUserCourseDateAuthorisation(Record):
    """A delegate who needs an authorisation. The guide lists these fields, without an ID."""

    user_id: Required = Field(alias="UserID")
    user_forenames: Text = Field(None, alias="UserForenames")
    user_surname: Text = Field(None, alias="UserSurname")
    course_name: Text = Field(None, alias="CourseName")
    starts_at: Start = Field(None, alias="CourseDateStartDate")
    ends_at: Start = Field(None, alias="CourseDateEndDate")
    venue: Text = Field(None, alias="VenueName")


class CourseDate(Record):
    """A course on a date, with its free places."""

    course_id: Text = Field(None, alias="CourseID")
    starts_at: Moment = Field(None, alias="StartDate")
    ends_at: Moment = Field(None, alias="EndDate")
    status: Text = Field(None, alias="Status")
    spaces_left: Whole = Field(None, alias="SpacesLeft")


class UserType(Record):
    """A job role: the vendor's module for it is called UserType [INF, strong]."""

    label: Required = Field(alias="Label")
    description: Text = Field(None, alias="Description")


class UserUserType(Record):
    """A job role of a person, with its first and last day [INF]."""

    user_id: Required = Field(alias="UserID")
    user_type_id: Required = Field(alias="UserTypeID")
    user_type_label: Text = Field(None, alias="UserTypeLabel")
    valid_from: Day = Field(None, alias="FromDate")
    valid_to: Day = Field(None, alias="ToDate")


class AwardUserType(Record):
    """An award that a job role requires [INF]."""

    award_id: Required = Field(alias="AwardID")
    award_label: Text = Field(None, alias="AwardLabel")
    user_type_id: Required = Field(alias="UserTypeID")
    user_type_label: Text = Field(None, alias="UserTypeLabel")


class Award(Record):
    """An award that can be given."""

    label: Text = Field(None, alias="Label")


class Company(Record):
    """An account."""

    name: Text = Field(None, alias="Name")


class Role(Record):
    """A level of access."""

    label: Text = Field(None, alias="Label")


FEEDS: dict[str, type[Record]] = {
    model.__name__: model
    for model in (
        User,
        UserAward,
        UserCourseDate,
        ManagerUserCourseDateAuthorisation,
        CourseDate,
        UserType,
        UserUserType,
        AwardUserType,
        Award,
        Company,
        Role,
    )
}


def kind_of(annotation: Any) -> Kind:
    """Returns the frame kind for a model field's annotation."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    kinds: dict[Any, Kind] = {bool: "flag", datetime: "moment", date: "day", int: "number"}
    return kinds.get(annotation, "text")


def constraints(info: FieldInfo) -> list[Any]:
    """Returns the length and pattern constraints of a model field, including those inside an
    optional text."""
    nested = [
        m
        for arg in get_args(info.annotation)
        if get_origin(arg) is Annotated
        for m in get_args(arg)[1:]
    ]
    return [
        *info.metadata,
        *(c for m in nested for c in (m.metadata if isinstance(m, FieldInfo) else [m])),
    ]


def kinds(model: type[Record]) -> dict[str, Kind]:
    """Maps each field to its kind, in the order of the model."""
    return dict(_kinds(model))


@cache
def _kinds(model: type[Record]) -> dict[str, Kind]:
    return {name: kind_of(info.annotation) for name, info in model.model_fields.items()}

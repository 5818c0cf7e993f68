"""The feeds: one wire model each, the single definition of a record.

The alias of a field is the vendor's spelling (found in any case; :attr:`Dialect.names` overrules
it); everywhere else a field has the name on the left. The validators accept what is known of the
vendor's unstable JSON types: a value, a number, a one-element list, and ``""``, ``[]``, ``{}`` or
``null`` for no value.
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
from reconciliation.values import LONGEST

MARKUP = "markup"
"""Marks text that the vendor writes as HTML: lines are parted by ``<br />``."""
_SPACE = "\\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
EMAIL = rf"^[^@{_SPACE}]+@[^@{_SPACE}]+\.[^@{_SPACE}]+$"
"""With every space spelled out: Arrow takes ``\\s`` for ASCII's alone, pydantic for all of
Unicode's."""


def _one(value: Any) -> Any:
    """A one-element list is its element; an empty list, object or text is no value."""
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
    """The tenant's dates for no end (``Dialect.no_end``)."""
    return info.context["no_end"] if info.context else values.NO_END


def _start(value: Any, info: ValidationInfo) -> datetime | None:
    """A moment, or the label of a course date, which begins with it: "31/01/2025 09:00 - 19:55"."""
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
    """The value of a custom field: text, a number, true or false, or a list of these."""
    written = values.encoded(value)
    if written is not None and len(written) > LONGEST:
        raise ValueError(f"should have at most {LONGEST} characters")
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
"""The importer's list with its flag values [HELP]; multi-word values with or without a space."""


def reason_of(error: ErrorDetails) -> str:
    """Why a value was rejected, in words that say nothing of it."""
    return (
        "is not a valid e-mail address"
        if error["type"] == "string_pattern_mismatch"
        else error["msg"].removeprefix("Value error, ")
    )


class Record(BaseModel):
    """A record of a feed. Unknown fields are no error: they are reported as drift."""

    model_config = ConfigDict(extra="ignore")

    id: Required = Field(alias="ID")
    created_at: Moment = Field(None, alias="DateCreated")
    updated_at: Moment = Field(None, alias="DateUpdated")


class User(Record):
    """A person. Lengths: v1 field rules [V1]."""

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
    """An award of a person. ``completed_on`` and ``expires_on``: the importer's column names
    [HELP]."""

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
    """A delegate. The company is the one that the user has booked with. ``starts_at``, ``ends_at``:
    the vendor's own demo selects them; CourseDateStartDate is, by the guide's example, a label and
    not a date (``Dialect.names`` can point ``starts_at`` to it: labels are understood).
    ``course_id`` and ``training_provider_id`` are assumed to be named as on other modules [INF]."""

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
    """A delegate who needs an authorisation. The guide names these fields, and no ID."""

    user_id: Required = Field(alias="UserID")
    user_forenames: Text = Field(None, alias="UserForenames")
    user_surname: Text = Field(None, alias="UserSurname")
    course_name: Text = Field(None, alias="CourseName")
    starts_at: Start = Field(None, alias="CourseDateStartDate")
    ends_at: Start = Field(None, alias="CourseDateEndDate")
    venue: Text = Field(None, alias="VenueName")


class CourseDate(Record):
    """A course on a date; its places."""

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
    """Who has which job role, from and to which day [INF]."""

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
    """The frame kind of a model field's annotation."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    kinds: dict[Any, Kind] = {bool: "flag", datetime: "moment", date: "day", int: "number"}
    return kinds.get(annotation, "text")


def constraints(info: FieldInfo) -> list[Any]:
    """The length and pattern constraints of a model field, those on its optional text included."""
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
    """Field -> kind, in the order of the model."""
    return dict(_kinds(model))


@cache
def _kinds(model: type[Record]) -> dict[str, Kind]:
    return {name: kind_of(info.annotation) for name, info in model.model_fields.items()}

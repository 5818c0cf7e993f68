"""The sandbox's storage: one SQLite table for each API module, columns under the vendor's names.

Dates are kept as the text that goes over the wire (naive ISO, local wall time): text of that form
sorts and compares as the dates do, and nothing is rounded on the way.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
FLAGS = frozenset({"MarketingOptIn", "Renewed", "CF_First_Aider", "Protected", "AutoTarget"})
NUMBERS = frozenset(
    {"Lifetime", "Places", "SpacesLeft", "CourseDateBookingID", "MoodleID", "Attempts"}
)
DATES = frozenset(
    {
        "DateCreated",
        "DateUpdated",
        "DOB",
        "TargetDate",
        "Passed",
        "Expires",
        "StartDate",
        "EndDate",
        "CourseDateEndDate",
        "CF_Start_Date",
        "FromDate",
        "ToDate",
        "NextAttempt",
    }
)
DROPDOWNS = frozenset({"MainRoleID", "Country", "Title"})
"""Lists in the vendor's own model, plain values in the guide."""
BLANK_AS_TEXT = frozenset({"Phone", "Email", "CF_Payroll_Number", "County", "CostCentre"})
"""No value comes as "" in these fields and as null in the others: both occur."""


def _module(name: str, columns: str, *indexes: str) -> sa.Table:
    def column(label: str) -> sa.Column[object]:
        kind: Any
        if label in FLAGS:
            kind = sa.Boolean()
        elif label in NUMBERS:
            kind = sa.Integer()
        else:
            kind = sa.Text()
        return sa.Column(label, kind, primary_key=label == "ID")

    table = sa.Table(name, metadata, *(column(label) for label in columns.split()))
    for index in indexes:
        sa.Index(f"ix_{name}_{index}", table.c[index])
    return table


_module(
    "User",
    "ID ExternalID Title Forenames MiddleNames Surname Fullname Email Phone Mobile JobTitle "
    "Status Address Town"
    " County Postcode Country FullAddress MainCompanyID MainCompanyName MainRoleID "
    "MainRoleLabel MainUserTypeLabel"
    " MarketingOptIn DateCreated DateUpdated DOB NINumber MoodleID CF_Payroll_Number CF_Site "
    "CF_First_Aider"
    " CF_Start_Date",
    "DateUpdated",
    "MainCompanyID",
    "Email",
)
_module(
    "UserAward",
    "ID UserID UserFullname AwardID AwardLabel Status TargetDate Passed Expires Renewed "
    "CourseDateID DateCreated DateUpdated CF_Assessor",
    "DateUpdated",
    "UserID",
    "Expires",
)
_module("Award", "ID Label AwardType Lifetime DateCreated DateUpdated")
_module("Role", "ID Label DateCreated DateUpdated")
_module("Company", "ID Name ExternalID Town DateCreated DateUpdated")
_module("Course", "ID Label CourseType ExternalID AwardedAwardIDs DateCreated DateUpdated")
_module(
    "CourseDate",
    "ID CourseID CourseLabel CompanyID CompanyName TrainingProviderID StartDate EndDate Status "
    "VenueLabel"
    " VenueTown Places SpacesLeft DateCreated DateUpdated",
    "CourseID",
)
_module(
    "UserCourseDate",
    "ID UserID UserFullName CandidateEmailAddress CourseDateID CourseDateDetailsLabel "
    "CourseDateStartDate StartDate"
    " EndDate CourseOrAliasName CompanyID CompanyName ManagersEmailAddresses Status "
    "CourseDateBookingID"
    " TrainingProviderID CourseID Description DateCreated DateUpdated CF_Dietary_Note",
    "DateUpdated",
    "UserID",
)
_module(
    "ManagerUserCourseDateAuthorisation",
    "ID UserID UserForenames UserSurname CourseName CourseDateID CourseDateStartDate "
    "CourseDateEndDate VenueName DateCreated DateUpdated",
    "UserID",
)
_module("UserType", "ID Label Description Protected DateCreated DateUpdated")
_module(
    "UserUserType",
    "ID UserID UserTypeID UserTypeLabel FromDate ToDate DateCreated DateUpdated",
    "UserID",
)
_module(
    "AwardUserType",
    "ID AwardID AwardLabel UserTypeID UserTypeLabel Lifetime AutoTarget DateCreated DateUpdated",
)
_module("CustomFieldMetadata", "ID Module Name Label FieldType DateCreated DateUpdated")
_module("Webhook", "ID Name Module Event Method Url DateCreated DateUpdated")
_module(
    "WebhookInstance",
    "ID WebhookID RecordID Method Url Body Status Attempts NextAttempt DateCreated DateUpdated",
    "Status",
)

MODULES: dict[str, sa.Table] = {name.lower(): table for name, table in metadata.tables.items()}
"""Module tables by lower-case name: paths are case-insensitive [5]."""

changes = sa.Table(
    "sandbox_change",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Text),
    sa.Column("module", sa.Text),
    sa.Column("record", sa.Text),
    sa.Column("event", sa.Text),
)
"""The sandbox's own log of what changed: the witness that tests count against."""

state = sa.Table(
    "sandbox_state",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text),
)
"""Seed, size and the clock's offset, so that a restart continues the same organisation."""

orphans = sa.Table("sandbox_orphans", metadata, sa.Column("ID", sa.Text, primary_key=True))
"""Users whom no service user sees."""


def open_database(path: str) -> sa.Engine:
    """The engine over ``path`` (a file, or ``:memory:``), tables created."""
    memory = path == ":memory:"
    engine = sa.create_engine(
        "sqlite://" if memory else f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": 30},
        poolclass=sa.pool.StaticPool if memory else None,
    )

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")

    metadata.create_all(engine)
    _add_missing_columns(engine)
    return engine


def _add_missing_columns(engine: sa.Engine) -> None:
    """An organisation that an earlier release has made gets the columns that came later, empty."""
    there = sa.inspect(engine).get_multi_columns()
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            names = {column["name"] for column in there[None, table.name]}
            for column in table.columns:
                if column.name not in names:
                    text = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
                    connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN {text}')

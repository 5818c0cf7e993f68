"""An invented UK organisation, the same for the same seed and size.

Nobody here exists: names are drawn from two word lists, e-mail addresses end in ``.example`` (RFC
2606), telephone numbers are in Ofcom's ranges for drama (01632, 07700 900), national insurance
numbers begin with the unused prefix QQ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

Row = dict[str, object]
ZONE = ZoneInfo("Europe/London")
"""The wall time of everything in the sandbox."""

FORENAMES = (
    "Aled Amina Anouk Bryony Callum Catrin Chidi Daria Dilys Eamon Ebele Elspeth Ffion Fraser "
    "Gethin Giorgia Hamish"
    " Imogen Ines Isla Jarek Kezia Kwame Leila Lorcan Mairi Malik Merryn Nadia Niamh Oisin "
    "Osian Paloma Priya Quentin"
    " Rhys Rosalind Ruaridh Saoirse Siobhán Tamsin Tariq Una Vikram Wilf Xanthe Yusuf Zofia "
    "Zoë André"
).split()
SURNAMES = (
    "Abernathy Ashdown Balogun Bexley Birtwhistle Calloway Cartmel Dacre Dunmore Eastwick "
    "Fairholme Fenwick Garrowby"
    " Glaisdale Hallowell Harrogate Ilkley Inchbald Jessop Kettlewell Kirkbride Lathom "
    "Lonsdale MacAuley Marchbanks"
    " Nethercote Norbury O'Brien O'Dowd Oakhanger Penhaligon Postlethwaite Quarmby Ravenscar "
    "Rushcliffe Sedbergh"
    " Skipwith Thirlmere Threlkeld Ullswater Uppingham Vickerstaff Wetherby Whitcombe Yarrow "
    "Youlgreave Zielinski"
    " d'Arcy St-Clair Nuñez"
).split()
TOWNS = (
    ("Lancaster", "Lancashire", "LA1"),
    ("Kendal", "Cumbria", "LA9"),
    ("Leeds", "West Yorkshire", "LS1"),
    ("Bristol", "", "BS1"),
    ("Cardiff", "South Glamorgan", "CF10"),
    ("Stirling", "Stirlingshire", "FK8"),
    ("Norwich", "Norfolk", "NR1"),
    ("Exeter", "Devon", "EX1"),
)
COMPANIES = (
    "Douglas Group|Meridian Rail|Pennine Water|Harbour Foods|Castle Care|Northgate "
    "Logistics|Fellside Energy"
    "|Tidewater Marine|Cotswold Timber|Albion Facilities|Saltmarsh Housing|Beacon Security"
).split("|")
JOB_ROLES = (
    "Site Operative|Team Leader|Site Manager|First Aider|Fire Marshal|Fork-lift "
    "Driver|Electrician|Care Assistant"
    "|Office Staff|Security Officer|Marine Crew|Trainer"
).split("|")
AWARDS = (
    ("First Aid at Work", 36),
    ("Emergency First Aid", 36),
    ("Safety at Heights Level 1", 24),
    ("Safety at Heights Level 2", 24),
    ("Manual Handling", 12),
    ("Fire Marshal", 24),
    ("Fork-lift Operator", 36),
    ("Confined Spaces", 24),
    ("Data Protection", 12),
    ("Safeguarding Adults", 24),
    ("Asbestos Awareness", 12),
    ("Working Safely", None),
    ("Induction", None),
    ("Electrical Safety 18th Edition", 60),
    ("Lone Working", 36),
    ("Mental Health First Aid", 36),
)
SITES = ("Quernmore Road", "Harbourside", "Eastfield", "North Depot")
ROLES = (
    ("SUPERADMIN", "Super Administrator"),
    ("TRAINADMIN", "Training Administrator"),
    ("MANAGER", "Manager"),
    ("INDIVIDUAL", "Individual"),
)


def stamp(moment: datetime) -> str:
    """Naive ISO with a fraction of variable length, none at all for whole seconds [8].

    A wall time that the change to summer time skips does not occur: it becomes the one an hour
    later.
    """
    moment = moment.replace(tzinfo=ZONE).astimezone(UTC).astimezone(ZONE).replace(tzinfo=None)
    text = moment.isoformat(timespec="milliseconds")
    return text.rstrip("0").rstrip(".") if "." in text else text


def day(value: date) -> str:
    return f"{value.isoformat()}T00:00:00"


def add_months(value: date, months: int) -> date:
    year, month = divmod(value.year * 12 + value.month - 1 + months, 12)
    for last in (value.day, 30, 29, 28):
        try:
            return date(year, month + 1, last)
        except ValueError:
            continue
    raise AssertionError("every month has a 28th")


def _managers_address(company: object) -> str:
    return f"manager@{str(company).lower().replace(' ', '-')}.example"


def full_address(row: Row) -> str:
    """``<br />`` between the parts, country before postcode [9]."""
    parts = (row[name] for name in ("Address", "Town", "County", "Country", "Postcode"))
    return "<br />".join(str(part) for part in parts if part)


class Organisation:
    """The rows of every module, generated in an order that satisfies their references."""

    def __init__(self, seed: int, size: int, now: datetime) -> None:
        self.random = random.Random(seed)
        self.size = size
        self.now = now
        self.taken: dict[str, int] = {}
        made = stamp(datetime(2022, 1, 10, 9, 0))
        dates: Row = {"DateCreated": made, "DateUpdated": made}
        self.companies: list[Row] = [
            {
                "ID": f"{name[:4].upper().strip()}{900 + i}E",
                "Name": name,
                "ExternalID": f"C{i:03}",
                "Town": TOWNS[i % len(TOWNS)][0],
                **dates,
            }
            for i, name in enumerate(COMPANIES)
        ]
        self.job_roles: list[Row] = [
            {
                "ID": f"JR{i:02}",
                "Label": name,
                "Description": f"{name} duties",
                "Protected": i == 0,
                **dates,
            }
            for i, name in enumerate(JOB_ROLES)
        ]
        self.awards: list[Row] = [
            {
                "ID": label.replace(" ", "")[:7].upper()
                + f"{'oBqXzKdW'[i % 8]}{'ABCD'[i % 4]}{i % 10}",
                "Label": label,
                "AwardType": "Certificate",
                "Lifetime": months,
                **dates,
            }
            for i, (label, months) in enumerate(AWARDS)
        ]
        self.courses: list[Row] = [
            {
                "ID": f"CRS{i:03}",
                "Label": award["Label"],
                "CourseType": "Class",
                "ExternalID": None,
                "AwardedAwardIDs": award["ID"],
                **dates,
            }
            for i, award in enumerate(self.awards)
        ]
        self.course_dates = [self.course_date(12000 + i) for i in range(min(600, 40 + size // 20))]

    def user_id(self, forename: str, surname: str) -> str:
        plain = "".join(
            c
            for c in (forename[:2] + surname.replace("'", "")[:4]).lower()
            if c.isascii() and c.isalpha()
        )
        count = self.taken[plain[:5]] = self.taken.get(plain[:5], 0) + 1
        return plain if count == 1 else f"{plain[:5]}{count}"

    def course_date(self, number: int) -> Row:
        r = self.random
        course = r.choice(self.courses)
        company = r.choice(self.companies)
        start = datetime.combine(self.now.date(), datetime.min.time()) + timedelta(
            days=r.randint(-400, 120), hours=9
        )
        town = r.choice(TOWNS)[0]
        made = stamp(start - timedelta(days=90))
        return {
            "ID": str(number),
            "CourseID": course["ID"],
            "CourseLabel": course["Label"],
            "CompanyID": company["ID"],
            "CompanyName": company["Name"],
            "TrainingProviderID": company["ID"],
            "StartDate": stamp(start),
            "EndDate": stamp(start + timedelta(hours=8)),
            "Status": "Active" if start > self.now else "Completed",
            "VenueLabel": f"{town} Training Centre",
            "VenueTown": town,
            "Places": 24,
            "SpacesLeft": r.randint(0, 20),
            "DateCreated": made,
            "DateUpdated": made,
        }

    def user(self, number: int, *, status: str | None = None, made: datetime | None = None) -> Row:
        r = self.random
        forename, surname = r.choice(FORENAMES), r.choice(SURNAMES)
        identifier = self.user_id(forename, surname)
        company = r.choice(self.companies)
        town, county, outward = r.choice(TOWNS)
        role = ROLES[3] if r.random() < 0.93 else r.choice(ROLES)
        made = made or self.now - timedelta(
            days=r.randint(30, 1400), seconds=r.randint(0, 80000), milliseconds=r.randint(0, 999)
        )
        touched = made if r.random() < 0.4 else made + (self.now - made) * r.random() * 0.95
        row: Row = {
            "ID": identifier,
            "ExternalID": f"E{100000 + number}" if r.random() < 0.7 else None,
            "Title": r.choice(("Mr", "Ms", "Dr", "Mx")) if r.random() < 0.8 else None,
            "Forenames": forename,
            "MiddleNames": r.choice(FORENAMES) if r.random() < 0.2 else None,
            "Surname": surname,
            "Fullname": f"{forename} {surname}",
            "Email": f"{identifier}@{str(company['Name']).lower().replace(' ', '-')}.example"
            if r.random() < 0.96
            else None,
            "Phone": f"01632 {960000 + number % 1000:06}" if r.random() < 0.6 else None,
            "Mobile": f"07700 900{number % 1000:03}" if r.random() < 0.7 else None,
            "JobTitle": r.choice(JOB_ROLES) if r.random() < 0.9 else None,
            "Status": status
            or r.choices(("Enabled", "New", "Inactive", "Deleted"), (82, 6, 10, 2))[0],
            "Address": f"{r.randint(1, 240)} "
            f"{r.choice(('Main Street', 'Mill Lane', 'Church Row', 'Station Road'))}",
            "Town": town,
            "County": county or None,
            "Postcode": f"{outward} {r.randint(1, 9)}{r.choice('ABDEF')}{r.choice('GHJLN')}",
            "Country": "United Kingdom",
            "MainCompanyID": company["ID"],
            "MainCompanyName": company["Name"],
            "MainRoleID": role[0],
            "MainRoleLabel": role[1],
            "MainUserTypeLabel": r.choice(JOB_ROLES),
            "MarketingOptIn": r.random() < 0.3,
            "DateCreated": stamp(made),
            "DateUpdated": stamp(touched),
            "DOB": day(date(1960, 1, 1) + timedelta(days=r.randint(0, 15000))),
            "NINumber": f"QQ{r.randint(100000, 999999)}C",
            "MoodleID": None,
            "CF_Payroll_Number": f"P{number:06}" if r.random() < 0.8 else None,
            "CF_Site": r.choice(SITES),
            "CF_First_Aider": r.random() < 0.1,
            "CF_Start_Date": day((made - timedelta(days=r.randint(0, 2000))).date()),
        }
        row["FullAddress"] = full_address(row)
        return row

    def user_award(
        self, number: int, user: Row, award: Row, status: str, when: date, made: datetime
    ) -> Row:
        """``when`` is the day of completion, or the target date of an award not yet completed."""
        done = status == "Completed"
        months = award["Lifetime"]
        return {
            "ID": f"UA{number:07}",
            "UserID": user["ID"],
            "UserFullname": user["Fullname"],
            "AwardID": award["ID"],
            "AwardLabel": award["Label"],
            "Status": status,
            "TargetDate": None if done and number % 3 else day(when),
            "Passed": day(when) if done else None,
            "Expires": day(add_months(when, int(str(months)))) if done and months else None,
            "Renewed": False,
            "CourseDateID": None,
            "DateCreated": stamp(made),
            "DateUpdated": stamp(made),
            "CF_Assessor": self.random.choice(SURNAMES) if done else None,
        }

    def user_awards(self, user: Row, first: int) -> list[Row]:
        """About five a person: completions, some of them renewed, and targets."""
        r = self.random
        rows: list[Row] = []
        today = self.now.date()
        for award in r.sample(self.awards, r.randint(2, 5)):
            kind = r.random()
            if kind < 0.18:
                status = "Target" if kind < 0.14 else ("In Progress" if kind < 0.165 else "On Hold")
                made = self.now - timedelta(days=r.randint(1, 200), seconds=r.randint(0, 9999))
                rows.append(
                    self.user_award(
                        first + len(rows),
                        user,
                        award,
                        status,
                        today + timedelta(days=r.randint(-30, 200)),
                        made,
                    )
                )
                continue
            when = today - timedelta(days=r.randint(1, 1200))
            history = [when]
            while award["Lifetime"] and r.random() < 0.45 and len(history) < 4:
                history.append(history[-1] - timedelta(days=r.randint(300, 700)))
            for i, passed in enumerate(history):
                made = datetime.combine(passed, datetime.min.time()) + timedelta(
                    hours=17, seconds=r.randint(0, 9000)
                )
                row = self.user_award(first + len(rows), user, award, "Completed", passed, made)
                row["Renewed"] = i > 0
                rows.append(row)
        return rows

    def delegate(self, user: Row, course_date: Row, status: str, made: datetime) -> Row:
        start = datetime.fromisoformat(str(course_date["StartDate"]))
        end = datetime.fromisoformat(str(course_date["EndDate"]))
        span = f"{start:%d/%m/%Y %H:%M} - {end:%H:%M}"
        return {
            "ID": f"{user['ID']}~{course_date['ID']}",
            "UserID": user["ID"],
            "UserFullName": user["Fullname"],
            "CandidateEmailAddress": user["Email"],
            "CourseDateID": course_date["ID"],
            "CourseDateDetailsLabel": f"{course_date['CourseLabel']}: {span}",
            "CourseDateStartDate": span,
            "StartDate": course_date["StartDate"],
            "EndDate": course_date["EndDate"],
            "CourseOrAliasName": course_date["CourseLabel"],
            "CompanyID": user["MainCompanyID"],
            "CompanyName": user["MainCompanyName"],
            "ManagersEmailAddresses": _managers_address(user["MainCompanyName"]),
            "Status": status,
            "CourseDateBookingID": None,
            "TrainingProviderID": course_date["TrainingProviderID"],
            "CourseID": course_date["CourseID"],
            "Description": f"{user['Fullname']}- {course_date['CourseLabel']}: {span}",
            "DateCreated": stamp(made),
            "DateUpdated": stamp(made),
            "CF_Dietary_Note": None,
        }

    def authorisation(self, user: Row, course_date: Row, made: datetime) -> Row:
        return {
            "ID": f"{user['ID']}~{course_date['ID']}",
            "UserID": user["ID"],
            "UserForenames": user["Forenames"],
            "UserSurname": user["Surname"],
            "CourseName": course_date["CourseLabel"],
            "CourseDateID": course_date["ID"],
            "CourseDateStartDate": course_date["StartDate"],
            "CourseDateEndDate": course_date["EndDate"],
            "VenueName": course_date["VenueLabel"],
            "DateCreated": stamp(made),
            "DateUpdated": stamp(made),
        }

    def modules(self) -> Iterator[tuple[str, list[Row]]]:
        """Batches of rows by module, at most a few thousand rows each."""
        r = self.random
        made = stamp(datetime(2022, 1, 10, 9, 0))
        dates: Row = {"DateCreated": made, "DateUpdated": made}
        yield "Company", self.companies
        yield "Award", self.awards
        yield "Course", self.courses
        yield "CourseDate", self.course_dates
        yield "UserType", self.job_roles
        yield "Role", [{"ID": key, "Label": label, **dates} for key, label in ROLES]
        yield (
            "AwardUserType",
            [
                {
                    "ID": f"AUT{i:03}",
                    "AwardID": award["ID"],
                    "AwardLabel": award["Label"],
                    "UserTypeID": role["ID"],
                    "UserTypeLabel": role["Label"],
                    "Lifetime": award["Lifetime"],
                    "AutoTarget": i % 2 == 0,
                    **dates,
                }
                for i, (award, role) in enumerate(
                    (a, j) for a in self.awards for j in self.job_roles[:4]
                )
            ],
        )
        yield (
            "CustomFieldMetadata",
            [
                {
                    "ID": f"CF{i:03}",
                    "Module": module,
                    "Name": name,
                    "Label": name[3:].replace("_", " "),
                    "FieldType": kind,
                    **dates,
                }
                for i, (module, name, kind) in enumerate(
                    (
                        ("User", "CF_Payroll_Number", "Text"),
                        ("User", "CF_Site", "DropDown"),
                        ("User", "CF_First_Aider", "CheckBox"),
                        ("User", "CF_Start_Date", "Date"),
                        ("UserAward", "CF_Assessor", "Text"),
                        ("UserCourseDate", "CF_Dietary_Note", "Text"),
                    )
                )
            ],
        )
        awards_made = 0
        for start in range(0, self.size, 2000):
            users = [self.user(n) for n in range(start, min(start + 2000, self.size))]
            awards: list[Row] = []
            delegates: dict[str, Row] = {}
            authorisations: dict[str, Row] = {}
            roles: list[Row] = []
            for user in users:
                awards.extend(self.user_awards(user, awards_made + len(awards)))
                for course_date in r.sample(self.course_dates, 2):
                    begins = datetime.fromisoformat(str(course_date["StartDate"]))
                    future = begins > self.now
                    status = (
                        r.choice(("Booked", "Provisional"))
                        if future
                        else r.choices(("Completed", "Cancelled", "NoAttend"), (85, 10, 5))[0]
                    )
                    made_at = min(begins, self.now) - timedelta(
                        days=r.randint(1, 60), seconds=r.randint(0, 9999)
                    )
                    row = self.delegate(user, course_date, status, made_at)
                    delegates[str(row["ID"])] = row
                    if status == "Provisional":
                        request = self.authorisation(user, course_date, made_at)
                        authorisations[str(request["ID"])] = request
                for role in r.sample(self.job_roles, r.choice((1, 1, 1, 2))):
                    since = day(date.fromisoformat(str(user["DateCreated"])[:10]))
                    roles.append(
                        {
                            "ID": f"{user['ID']}~{role['ID']}",
                            "UserID": user["ID"],
                            "UserTypeID": role["ID"],
                            "UserTypeLabel": role["Label"],
                            "FromDate": since,
                            "ToDate": None,
                            "DateCreated": user["DateCreated"],
                            "DateUpdated": user["DateCreated"],
                        }
                    )
            awards_made += len(awards)
            yield "User", users
            yield "UserAward", awards
            yield "UserCourseDate", list(delegates.values())
            yield "ManagerUserCourseDateAuthorisation", list(authorisations.values())
            yield "UserUserType", roles

"""Time passes: people join, move, leave, rename, book and complete; every change is logged."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import sqlalchemy as sa

from .people import Organisation, Row, add_months, day, full_address, stamp
from .schema import changes, metadata, orphans
from .webhooks import triggered

EVENTS = (
    "join",
    "move",
    "leave",
    "rename",
    "book",
    "complete",
    "target",
    "achieve",
    "cancel",
    "assign",
    "end_role",
    "unassign",
    "schedule",
)
WEIGHTS = (10, 20, 6, 14, 20, 20, 10, 4, 6, 6, 4, 1, 4)
RARE = ("merge", "orphan", "second_target")
"""Happen only when they are asked for by name.

merge: two accounts of one person become one; the other is deleted, and what it had belongs to the
one that stays · orphan: no service user sees this user any more, nor what they have ·
second_target: somebody has two targets of one award.
"""


class Ticker:
    """Applies ``count`` events at ``now``, with what each of them entails in other modules."""

    def __init__(self, connection: sa.Connection, seed: int, now: datetime) -> None:
        self.connection = connection
        self.now = now
        last = connection.execute(
            sa.select(sa.func.coalesce(sa.func.max(changes.c.seq), 0))
        ).scalar_one()
        self.random = random.Random(f"{seed}/{last}")
        self.serial = int(last)
        self.made = Organisation(self.random.randrange(1 << 30), 0, now)
        self.people = connection.execute(sa.text('SELECT count(*) FROM "User"')).scalar_one()
        self.awards_made = connection.execute(
            sa.text('SELECT count(*) FROM "UserAward"')
        ).scalar_one()
        self.steps = 0

    def run(self, count: int, kinds: tuple[str, ...] = EVENTS) -> dict[str, int]:
        """Applies ``count`` events, spread over ``kinds``, and returns how many there were of
        each."""
        done: dict[str, int] = {}
        weights = [WEIGHTS[EVENTS.index(kind)] if kind in EVENTS else 1 for kind in kinds]
        for _ in range(count):
            kind = self.random.choices(kinds, weights)[0]
            getattr(self, f"_{kind}")()
            done[kind] = done.get(kind, 0) + 1
        return done

    def _moment(self) -> str:
        """A little later for every record touched; several share one stamp, as real bulk edits
        do."""
        self.steps += 1
        return stamp(self.now + timedelta(milliseconds=self.steps // 3 * 10))

    def _some_user(self) -> Row:
        user = metadata.tables["User"]
        active = user.c.Status.in_(("Enabled", "New")) & user.c.ID.not_in(sa.select(orphans.c.ID))
        span = self.connection.execute(sa.text('SELECT max(rowid) FROM "User"')).scalar_one()
        for _ in range(200):
            place = self.random.randint(1, span)
            row = (
                self.connection.execute(sa.select(user).where(sa.text(f"rowid = {place}"), active))
                .mappings()
                .first()
            )
            if row:
                return dict(row)
        raise RuntimeError("the sandbox has no enabled user left to change")

    def _put(self, module: str, row: Row, event: str) -> None:
        table = metadata.tables[module]
        row["DateUpdated"] = self._moment()
        known = self.connection.execute(
            sa.select(table.c.ID).where(table.c.ID == row["ID"])
        ).first()
        if known:
            self.connection.execute(table.update().where(table.c.ID == row["ID"]).values(row))
        else:
            row["DateCreated"] = row["DateUpdated"]
            self.connection.execute(table.insert().values(row))
        log(self.connection, self.now, module, str(row["ID"]), event)
        triggered(
            self.connection, self.now, module, str(row["ID"]), "updated" if known else "created"
        )

    def _join(self) -> None:
        self.people += 1
        user = self.made.user(self.people, status="New", made=self.now)
        self.serial += 1
        user["ID"] = f"n{self.serial:x}x{self.random.randrange(16**4):04x}"
        user["Email"] = f"{user['ID']}@joiners.example"
        self._put("User", user, "join")

    def _move(self) -> None:
        user = self._some_user()
        company = self.random.choice(
            [c for c in self.made.companies if c["ID"] != user["MainCompanyID"]]
        )
        self._put(
            "User",
            {**user, "MainCompanyID": company["ID"], "MainCompanyName": company["Name"]},
            "move",
        )

    def _leave(self) -> None:
        self._put("User", {**self._some_user(), "Status": "Inactive"}, "leave")

    def _rename(self) -> None:
        user = self._some_user()
        other = self.made.user(0)
        user |= {
            "Surname": f"{other['Surname']}-{self.serial + self.steps}",
            "Address": f"{self.random.randint(300, 900)} New Street",
        }
        user |= {
            "Fullname": f"{user['Forenames']} {user['Surname']}",
            "FullAddress": full_address(user),
        }
        self._put("User", user, "rename")

    def _course_date(self, future: bool) -> Row:
        table = metadata.tables["CourseDate"]
        start = (
            table.c.StartDate > stamp(self.now) if future else table.c.StartDate <= stamp(self.now)
        )
        rows = self.connection.execute(sa.select(table).where(start)).mappings().all()
        return dict(self.random.choice(rows)) if rows else self.made.course_dates[0]

    def _book(self) -> None:
        user, course_date = self._some_user(), self._course_date(future=True)
        status = self.random.choice(("Provisional", "Booked"))
        self._put("UserCourseDate", self.made.delegate(user, course_date, status, self.now), "book")
        if status == "Provisional":
            self._put(
                "ManagerUserCourseDateAuthorisation",
                self.made.authorisation(user, course_date, self.now),
                "book",
            )

    def _complete(self) -> None:
        """A delegate completes; the award that the course gives is a new record, an older one is
        marked renewed."""
        user, course_date = self._some_user(), self._course_date(future=False)
        self._put(
            "UserCourseDate",
            self.made.delegate(user, course_date, "Completed", self.now),
            "complete",
        )
        course = next(c for c in self.made.courses if c["ID"] == course_date["CourseID"])
        award = next(a for a in self.made.awards if a["ID"] == course["AwardedAwardIDs"])
        table = metadata.tables["UserAward"]
        older = self.connection.execute(
            sa.select(table).where(
                table.c.UserID == user["ID"],
                table.c.AwardID == award["ID"],
                table.c.Status == "Completed",
                table.c.Renewed.is_(False),
            )
        ).mappings()
        for row in older.all():
            self._put("UserAward", {**row, "Renewed": True}, "renew")
        self._award(user, award, "Completed", "complete", course_date)

    def _some(self, module: str, condition: sa.ColumnElement[bool]) -> Row | None:
        table = metadata.tables[module]
        # Nobody who has left: what happens to them interests nobody.
        people = metadata.tables["User"]
        active = table.c.UserID.in_(
            sa.select(people.c.ID).where(people.c.Status.in_(("Enabled", "New")))
        )
        keys = (
            self.connection.execute(
                sa.select(table.c.ID).where(condition, active).order_by(table.c.ID)
            )
            .scalars()
            .all()
        )
        if not keys:
            return None
        return dict(
            self.connection.execute(sa.select(table).where(table.c.ID == self.random.choice(keys)))
            .mappings()
            .one()
        )

    def _achieve(self) -> None:
        """A target is achieved: the same record is Completed."""
        row = self._some("UserAward", metadata.tables["UserAward"].c.Status == "Target")
        if row is not None:
            award = next((a for a in self.made.awards if a["ID"] == row["AwardID"]), None)
            months = award["Lifetime"] if award else None
            today = self.now.date()
            row |= {
                "Status": "Completed",
                "Passed": day(today),
                "Expires": day(add_months(today, int(str(months)))) if months else None,
            }
            self._put("UserAward", row, "achieve")

    def _cancel(self) -> None:
        """A delegate is cancelled, or did not come."""
        table = metadata.tables["UserCourseDate"]
        row = self._some("UserCourseDate", table.c.Status.in_(("Booked", "Provisional")))
        if row is not None:
            status = "Cancelled" if str(row["StartDate"]) > stamp(self.now) else "NoAttend"
            asked = metadata.tables["ManagerUserCourseDateAuthorisation"]
            self.connection.execute(asked.delete().where(asked.c.ID == row["ID"]))
            self._put("UserCourseDate", {**row, "Status": status}, "cancel")

    def _assign(self) -> None:
        user, role = self._some_user(), self.random.choice(self.made.job_roles)
        table = metadata.tables["UserUserType"]
        known = (
            self.connection.execute(
                sa.select(table).where(table.c.ID == f"{user['ID']}~{role['ID']}")
            )
            .mappings()
            .first()
        )
        row = (
            dict(known)
            if known
            else {
                "ID": f"{user['ID']}~{role['ID']}",
                "UserID": user["ID"],
                "UserTypeID": role["ID"],
            }
        )
        row |= {"UserTypeLabel": role["Label"], "FromDate": day(self.now.date()), "ToDate": None}
        self._put("UserUserType", row, "assign")

    def _end_role(self) -> None:
        row = self._some("UserUserType", metadata.tables["UserUserType"].c.ToDate.is_(None))
        if row is not None:
            self._put("UserUserType", {**row, "ToDate": day(self.now.date())}, "end_role")

    def _unassign(self) -> None:
        """A job role is taken away without a trace: only a sweep finds it."""
        table = metadata.tables["UserUserType"]
        row = self._some("UserUserType", table.c.ToDate.is_(None))
        if row is not None:
            self.connection.execute(table.delete().where(table.c.ID == row["ID"]))
            log(self.connection, self.now, "UserUserType", str(row["ID"]), "unassign")

    def _schedule(self) -> None:
        """A course is put on; without it there would be none left as the clock moves."""
        table = metadata.tables["CourseDate"]
        count = self.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        row = self.made.course_date(20000 + int(count))
        start = (self.now + timedelta(days=self.random.randint(10, 90))).replace(
            hour=9, minute=0, second=0, microsecond=0
        )
        row |= {
            "StartDate": stamp(start),
            "EndDate": stamp(start + timedelta(hours=8)),
            "Status": "Active",
            "SpacesLeft": self.random.randint(2, 20),
        }
        self._put("CourseDate", row, "schedule")

    def _merge(self) -> None:
        stays = self._some_user()
        gone = self._some_user()
        if gone["ID"] == stays["ID"]:
            return
        for module in ("UserAward", "UserCourseDate", "UserUserType"):
            table = metadata.tables[module]
            for row in (
                self.connection.execute(sa.select(table).where(table.c.UserID == gone["ID"]))
                .mappings()
                .all()
            ):
                self._put(module, {**row, "UserID": stays["ID"]}, "merge")
        people = metadata.tables["User"]
        self.connection.execute(people.delete().where(people.c.ID == gone["ID"]))
        log(self.connection, self.now, "User", str(gone["ID"]), "merge")
        self._put(
            "User", {**stays, "ExternalID": stays["ExternalID"] or gone["ExternalID"]}, "merge"
        )

    def _orphan(self) -> None:
        user = self._some_user()
        self.connection.execute(orphans.insert().values(ID=user["ID"]))
        log(self.connection, self.now, "User", str(user["ID"]), "orphan")

    def _second_target(self) -> None:
        user, award = self._some_user(), self.random.choice(self.made.awards)
        for _ in range(2):
            self._award(user, award, "Target", "second_target")

    def _target(self) -> None:
        self._award(self._some_user(), self.random.choice(self.made.awards), "Target", "target")

    def _award(
        self, user: Row, award: Row, status: str, event: str, course_date: Row | None = None
    ) -> None:
        when = self.now.date() if status == "Completed" else self.now.date() + timedelta(days=90)
        self.awards_made += 1
        row = self.made.user_award(self.awards_made, user, award, status, when, self.now)
        self.serial += 1
        row["ID"] = f"UB{self.serial:x}-{self.random.randrange(16**5):05x}"
        row["CourseDateID"] = course_date["ID"] if course_date else None
        self._put("UserAward", row, event)


def log(connection: sa.Connection, now: datetime, module: str, record: str, event: str) -> None:
    """Notes a change in the sandbox's own log."""
    connection.execute(
        changes.insert().values(at=stamp(now), module=module, record=record, event=event)
    )

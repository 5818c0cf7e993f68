"""What a test run has said, and of whom it must not have said anything."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sides import Side


STRANGER = "Petronella Quibbling (pequib9), petronella@quibbling.example, born 1951-07-19"
"""Whom the error messages of HR systems name."""


class Evidence(logging.Handler):
    """What a test run has said, and of whom it must not have said anything
    (``project/test_privacy.py``)."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.logged: list[str] = []
        self.raised: list[str] = []
        self.ids = {"pequib9"}
        self.names = {"Petronella Quibbling"}
        self.mails = {"petronella@quibbling.example"}
        self.born = {"1951-07-19"}
        self.phones = {"01632960999"}
        self.database: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(self.format(record))

    def people(self, side: Side) -> None:
        """Notes everybody in a side's sandbox."""
        with side.sandbox.engine.connect() as connection:
            found = connection.exec_driver_sql(
                'SELECT "ID", "Forenames", "Surname", "Email", "DOB", "Phone", "Mobile" FROM "User"'
            ).all()
        for key, forenames, surname, mail, born, *phones in found:
            self.ids.add(str(key))
            self.names.add(f"{str(forenames).split()[-1]} {str(surname).split()[0]}")
            self.mails |= {str(mail).lower()} if mail else set()
            # The beginning of Unix time stands in databases for no time.
            self.born |= {str(born)[:10]} - {"1970-01-01"} if born else set()
            self.phones |= {str(phone).replace(" ", "") for phone in phones if phone}

    def database_of(self, file: Path) -> None:
        """Notes all that is in Prefect's database: artifacts, parameters, states, logs, form
        inputs."""
        with sqlite3.connect(file) as connection:
            self.database.append("\n".join(connection.iterdump()))

    def keep(self, folder: Path) -> None:
        """Writes all of it down, for whoever looks at the whole run: it may have had several
        processes."""
        parts = {name: sorted(value) for name, value in vars(self).items() if name in PARTS}
        (folder / f"{os.getpid()}.json").write_text(json.dumps(parts))

    def take_in(self, folder: Path) -> None:
        """Adds what the other processes have written down."""
        for file in folder.glob("*.json"):
            for name, value in json.loads(file.read_text()).items():
                mine = getattr(self, name)
                mine.update(value) if isinstance(mine, set) else mine.extend(value)


PARTS = ("logged", "raised", "ids", "names", "mails", "phones", "born", "database")
KEPT = os.environ.get("TEST_EVIDENCE")
"""Where the processes of a test run write their evidence down; the last test looks at all of it."""
EVIDENCE = Evidence()
WORD = re.compile(r"[^\W\d_][\w'’-]*")
MAIL = re.compile(r"[\w.+'-]+@[\w.-]+\w")
TOKEN = re.compile(r"[\w-]+")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
DIGITS = re.compile(r"\d[\d ]{8,}\d")


def traces(text: str) -> Iterator[str]:
    """Parts of ``text`` that are somebody's ID, name, e-mail address, phone number or date of
    birth."""
    for line in text.splitlines():
        yield from (token for token in TOKEN.findall(line) if token in EVIDENCE.ids)
        yield from (day for day in DAY.findall(line) if day in EVIDENCE.born)
        yield from (
            pair
            for one, other in pairwise(WORD.findall(line))
            if (pair := f"{one} {other}") in EVIDENCE.names
        )
        yield from (mail for mail in MAIL.findall(line) if mail.lower() in EVIDENCE.mails)
        yield from (
            number for number in DIGITS.findall(line) if number.replace(" ", "") in EVIDENCE.phones
        )

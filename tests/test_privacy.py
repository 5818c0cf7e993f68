"""Runs last: nothing that the whole test run has logged, raised or left in Prefect tells of an
invented person.

Collected by ``conftest.Evidence`` in each process: every log record of every logger, the text of
every error of ours, and Prefect's whole database, in which its artifacts, parameters, states, logs
and form inputs are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import prefect.settings
import pytest

from sandbox.faults import Faults

from .conftest import EVIDENCE, KEPT, Side

pytestmark = [pytest.mark.prefect, pytest.mark.last]
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


@pytest.fixture
def dialect_name() -> str:
    return "standard"


def refused(side: Side) -> None:
    """Writes and reads that accessplanit answers with errors which repeat whom they are about."""
    from flows.users_from_hr import users_from_hr
    from flows.users_to_hr import users_to_hr

    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET job_title = 'Rigger', written_at = '2099-01-01'"
        )
    for fault in (
        Faults(writes="400"),
        Faults(writes="403"),
        Faults(reads="400"),
        Faults(reads="403"),
    ):
        side.sandbox.faults = fault
        for flow in (users_from_hr, users_to_hr):
            flow(return_state=True)
        assert fault.drawn, "somebody was refused"
    side.sandbox.faults = Faults()


def test_nothing_of_the_whole_run_tells_of_a_person(configured: Side) -> None:
    from flows.catalogue import PROCESSES

    for chosen in PROCESSES.values():
        chosen.flow(return_state=True)
    refused(configured)
    EVIDENCE.people(configured)
    assert len(EVIDENCE.names) > 50
    person = next(iter(sorted(EVIDENCE.names)))
    mail, phone = next(iter(sorted(EVIDENCE.mails))), next(iter(sorted(EVIDENCE.phones)))
    key = next(iter(sorted(EVIDENCE.ids)))
    day = next(iter(sorted(EVIDENCE.born)))
    planted = f"The user {key}, {person} <{mail}>, born {day}, has the number {phone}"
    assert set(traces(planted)) == {key, person, mail, phone, day}, "a trace would be found"
    url = prefect.settings.PREFECT_API_DATABASE_CONNECTION_URL.value()
    EVIDENCE.database_of(str(url.get_secret_value() if hasattr(url, "get_secret_value") else url))
    if KEPT:
        EVIDENCE.take_in(Path(KEPT))
    kept = "\n".join(EVIDENCE.database)
    assert "users-to-hr-summary" in kept
    for name, text in (
        ("Prefect's database", kept),
        ("logs", "\n".join(EVIDENCE.logged)),
        ("errors", "\n".join(EVIDENCE.raised)),
    ):
        assert sorted(set(traces(text)))[:5] == [], name

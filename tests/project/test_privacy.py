"""Nothing that a whole test run has logged, raised or left in Prefect tells of an invented person.

Collected by ``evidence.Evidence`` in each process: every log record of every logger, the text of
every error of ours, and Prefect's whole database, in which its artifacts, parameters, states, logs
and form inputs are. ``make test`` looks at it in a process of its own, after all the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.users_from_hr import users_from_hr
from flows.users_to_hr import users_to_hr
from sandbox.faults import Faults
from tests.evidence import EVIDENCE, KEPT, traces
from tests.sides import Side


@pytest.fixture
def dialect_name() -> str:
    return "standard"


@pytest.mark.prefect
def test_writes_and_reads_are_refused_with_the_names_of_people(configured: Side) -> None:
    """accessplanit answers with errors which repeat whom they are about."""
    assert users_to_hr(return_state=True).is_completed()
    with configured.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET job_title = 'Rigger', written_at = '2099-01-01'"
        )
    for fault in (
        Faults(writes="400"),
        Faults(writes="403"),
        Faults(reads="400"),
        Faults(reads="403"),
    ):
        configured.sandbox.faults = fault
        for flow in (users_from_hr, users_to_hr):
            flow(return_state=True)
        assert fault.drawn, "somebody was refused"


@pytest.mark.last
@pytest.mark.skipif(not KEPT, reason="'make test' keeps what its processes have said")
def test_nothing_of_the_whole_run_tells_of_a_person() -> None:
    EVIDENCE.take_in(Path(str(KEPT)))
    assert len(EVIDENCE.names) > 50
    told = "Petronella Quibbling (pequib9) <petronella@quibbling.example>, born 1951-07-19"
    assert set(traces(f"{told}, has the number 01632 960999")) == {
        "Petronella Quibbling",
        "pequib9",
        "petronella@quibbling.example",
        "1951-07-19",
        "01632 960999",
    }, "a trace would be found"
    kept = "\n".join(EVIDENCE.database)
    assert "users-to-hr-summary" in kept
    for name, text in (
        ("Prefect's database", kept),
        ("logs", "\n".join(EVIDENCE.logged)),
        ("errors", "\n".join(EVIDENCE.raised)),
    ):
        assert sorted(set(traces(text)))[:5] == [], name

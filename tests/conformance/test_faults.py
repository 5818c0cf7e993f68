"""What networks and servers do: a fault of the system is no fault of a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, SecretStr

from connectors.hr import connectors
from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, TargetFailed

from .people import People, somebody
from .stands import Stand


def test_a_server_that_is_not_there_is_said_without_secrets(stand: Stand) -> None:
    with pytest.raises((TargetFailed, Misconfigured)) as caught:
        stand.open(stand.nowhere).population("employees")
    assert_discreet(caught.value, stand)


def test_refused_credentials_are_said_without_secrets(stand: Stand) -> None:
    if stand.wrong is None:
        pytest.skip("asks for no credentials here")
    with pytest.raises(CredentialsRefused) as caught:
        stand.open(stand.wrong).population("employees")
    assert "renew" in str(caught.value).lower()
    assert_discreet(caught.value, stand)


def assert_discreet(error: HrsyncError, stand: Stand) -> None:
    told = (
        f"{error} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
    )
    for settings_ in (stand.settings, stand.wrong, stand.nowhere):
        for secret in secrets(settings_):
            assert secret not in told


def secrets(settings_: Any) -> Iterator[str]:
    for value in vars(settings_).values() if settings_ else ():
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets(value)


def test_settings_keep_their_secrets(stand: Stand) -> None:
    shown = repr(stand.settings) + str(stand.settings) + stand.open().name
    # The URL of a file holds no password.
    assert not [s for s in secrets(stand.settings) if s in shown and not s.startswith("sqlite")]


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_server_that_has_had_enough_is_asked_again(
    people: People, between: Any, status: str
) -> None:
    people.write(somebody())
    between.fault(status, 2)
    assert set(people.read()) == {"E1"}
    between.fault("429", 1, write=True)
    assert people.write(somebody(job_title="Rigger")) == [("E1", "updated")]
    assert people.read()["E1"]["job_title"] == "Rigger"


def test_a_server_that_goes_on_refusing_ends_the_run_and_loses_nothing(
    people: People, between: Any
) -> None:
    people.write(somebody())
    between.fault("503", 9)
    with pytest.raises(TargetFailed, match="lost"):
        people.system.population("employees")
    between.clear()
    assert set(people.read()) == {"E1"}


@pytest.mark.parametrize("kind", ["403", "408", "500", "html"])
def test_law_11_a_fault_of_the_system_is_no_fault_of_a_row(
    people: People, between: Any, stand: Stand, kind: str
) -> None:
    everybody = [somebody(f"E{n}") for n in range(3)]
    changes = people.plan(*everybody).changes
    between.fault(kind, 9, write=True)
    with pytest.raises((TargetFailed, CredentialsRefused)) as stopped:
        people.system.apply("employees", changes)
    assert (
        stopped.value.answered is None or "failed" not in stopped.value.answered["outcome"].tolist()
    )
    between.clear()
    again = People(stand.open())
    again.write(*everybody)
    assert set(again.read()) == {"E0", "E1", "E2"}


def test_law_11_what_was_answered_before_a_fault_is_receipted(
    people: People, between: Any, stand: Stand
) -> None:
    people.write(*[somebody(f"E{n}") for n in range(3)])
    changes = people.plan(*[somebody(f"E{n}", job_title="Rigger") for n in range(3)]).changes
    between.fault("", 1, write=True)
    between.fault("500", 9, write=True)
    try:
        # A system that takes all three in one request has answered them all.
        answered = people.system.apply("employees", changes)
    except TargetFailed as stopped:
        answered = stopped.answered
    between.clear()
    titles = [row["job_title"] for row in People(stand.open()).read().values()]
    assert titles.count("Rigger") == (
        0 if answered is None else answered["outcome"].tolist().count("updated")
    )


def test_law_11_a_database_that_is_full_or_read_only_refuses_no_row(
    people: People, stand: Stand
) -> None:
    if stand.connector != "sql":
        pytest.skip("is no database")
    engine = people.system.engine  # type: ignore[attr-defined]
    readonly = (
        "PRAGMA query_only = ON" if engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY"
    )
    changes = people.plan(somebody("E1")).changes

    def spoil(connection: Any) -> None:
        connection.exec_driver_sql(readonly)

    sa.event.listen(engine, "begin", spoil)
    with pytest.raises(TargetFailed):
        people.system.apply("employees", changes)
    sa.event.remove(engine, "begin", spoil)
    engine.dispose()
    assert set(People(stand.open()).read()) == set()
    again = People(stand.open())
    again.write(somebody("E1"))
    assert set(again.read()) == {"E1"}


@pytest.mark.parametrize("kind", ["lost", "hang"])
def test_after_an_answer_that_never_came_the_truth_is_read_and_nothing_is_doubled(
    people: People, between: Any, stand: Stand, kind: str
) -> None:
    people.write(somebody("E0"))
    everybody = [somebody(f"E{n}") for n in range(3)]
    changes = people.plan(*everybody).changes
    between.fault(kind, 4, write=True)
    with pytest.raises(TargetFailed):
        people.system.apply("employees", changes)
    between.clear()
    again = People(stand.open())
    assert set(again.read()) >= {"E0"}
    again.write(*everybody)
    assert set(again.read()) == {"E0", "E1", "E2"}
    assert again.system.population("employees") == 3
    assert not len(again.plan(*everybody).changes)


def test_a_time_out_while_reading_is_asked_again(people: People, between: Any) -> None:
    people.write(somebody())
    between.fault("hang", 1)
    assert set(people.read()) == {"E1"}


def test_its_settings_are_a_form_and_an_environment(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors.settings import load
    from tasks.blocks import block_type_of

    model = connectors()[stand.connector].settings
    assert model(), "every field has a default"
    kind = block_type_of(stand.connector)
    assert set(model.model_fields) <= set(kind.model_fields)
    assert kind._block_type_slug == f"hrsync-{stand.connector.replace('_', '-')}"
    name = next(iter(model.model_fields))
    assert (
        load().of_connector(stand.connector) == model()
        or getattr(load().of_connector(stand.connector), name) is not None
    )
    monkeypatch.setenv(f"HRSYNC_{stand.connector.upper()}__NO_SUCH_FIELD", "x")
    with pytest.raises(Misconfigured, match="NO_SUCH_FIELD"):
        load().of_connector(stand.connector)

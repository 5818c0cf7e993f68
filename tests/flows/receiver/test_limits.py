"""Clients that are slow or many: the receiver closes their connections and goes on serving the
others."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

from flows.receiver import app as receiver
from flows.receiver import protocol as receiver_protocol
from flows.receiver.protocol import OTHER_FILES, raise_file_limit
from reconciliation.errors import Misconfigured

from .desks import HEADERS, SECRET, Desk

WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"
SECONDS = 30 if WHOLE else 4
START = (
    f"POST /webhooks/user/a HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Secret: {SECRET}\r\n".encode()
)
ACCEPTED = b"HTTP/1.1 202"
LINGER = 8.0
"""Seconds after which a test takes a connection for one that is never closed."""


def connected(desk: Desk, data: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", desk.served.port), timeout=LINGER)
    made.sendall(data)
    return made


def answer(connection: socket.socket) -> bytes:
    """What comes until the server closes it, or is complete as an answer."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
            if b"}" in found:
                break
    except ConnectionResetError:
        pass
    return found


def closes(connection: socket.socket, trickle: bytes = b"") -> float:
    """After how many seconds the server closes it, while a byte is sent now and then."""
    began = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - began < LINGER:
        try:
            if trickle:
                connection.sendall(trickle[:1])
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


# -- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "a byte now and then"])
@pytest.mark.parametrize(
    "sent", [b"", b"POST /web", START], ids=["nothing", "a part of a line", "a part of the headers"]
)
def test_headers_must_be_complete_in_time(
    make_desk: Callable[..., Desk], sent: bytes, trickle: bytes
) -> None:
    desk = make_desk(header_seconds=1)
    with connected(desk, sent) as connection:
        assert 0.8 < closes(connection, trickle) < 2
    assert desk.send("user", {"ID": "a"}).status_code == 202


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "a byte now and then"])
def test_headers_of_the_second_request_of_a_connection_must_too(
    make_desk: Callable[..., Desk], trickle: bytes
) -> None:
    desk = make_desk(header_seconds=1)
    with connected(desk, START + b"\r\n") as connection:
        assert answer(connection).startswith(ACCEPTED)
        connection.sendall(START)
        assert 0.8 < closes(connection, trickle) < 2


def test_a_connection_serves_many_requests_for_longer_than_one_may_take(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk(header_seconds=1)
    with connected(desk) as connection:
        for _ in range(6):
            connection.sendall(START + b"\r\n")
            assert answer(connection).startswith(ACCEPTED)
            time.sleep(0.4)


def test_requests_that_come_at_once_are_all_answered(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(header_seconds=1)
    with connected(desk, (START + b"\r\n") * 5 + START) as connection:
        found = b""
        while part := connection.recv(65536):
            found += part
    assert found.count(ACCEPTED) == 5


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["silent", "a byte now and then"])
def test_a_body_must_be_complete_in_time(make_desk: Callable[..., Desk], trickle: bytes) -> None:
    desk = make_desk(body_seconds=1)
    with connected(desk, START + b"Content-Length: 1000\r\n\r\n{") as connection:
        began = time.monotonic()
        for _ in range(7):
            connection.sendall(trickle)
            time.sleep(0.1)
        found = answer(connection)
        assert 0.8 < time.monotonic() - began < 2
        assert found.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in found.lower()
        assert closes(connection) < 1
    assert 'refused_total{reason="slow"} 1.0' in desk.metrics()


def test_a_body_that_nobody_wants_must_end_in_time_too(make_desk: Callable[..., Desk]) -> None:
    """The answer is there before the body; what is sent of it keeps the connection no longer."""
    desk = make_desk(header_seconds=1)
    with connected(
        desk, START.replace(b"/user", b"/nothing") + b"Content-Length: 1000000\r\n\r\n{"
    ) as connection:
        assert answer(connection).startswith(b"HTTP/1.1 404")
        assert 0.8 < closes(connection, b"x") < 2


def test_who_does_not_read_the_answers_is_cut_off(
    make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_protocol, "ANSWER_SECONDS", 1)
    desk = make_desk(header_seconds=1, body_seconds=1, open_pages=True)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(LINGER)
    connection.connect(("127.0.0.1", desk.served.port))
    with closing(connection), pytest.raises(OSError, match=r"reset|Broken pipe"):
        keep_asking(connection)


def keep_asking(connection: socket.socket) -> None:
    """Sends requests and reads nothing."""
    end = time.monotonic() + LINGER
    while time.monotonic() < end:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


# -- the number of connections -------------------------------------------------------------------


def test_the_one_that_has_waited_longest_makes_room(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(connections=3, header_seconds=30)
    with (
        connected(desk, START) as first,
        connected(desk, START) as second,
        connected(desk, START) as third,
    ):
        time.sleep(0.2)
        with connected(desk, START + b"\r\n") as fourth:
            assert answer(fourth).startswith(ACCEPTED)
        assert closes(first) < 0.5
        for other in (second, third):
            other.sendall(b"\r\n")
            assert answer(other).startswith(ACCEPTED)


def test_one_whose_headers_are_complete_is_not_closed_for_those_that_stall(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk(connections=3, header_seconds=30)
    with connected(desk, START + b"Content-Length: 2\r\n\r\n{") as early:
        time.sleep(0.2)
        stalled = [connected(desk, START) for _ in range(8)]
        time.sleep(0.2)
        early.sendall(b"}")
        assert answer(early).startswith(ACCEPTED)
        for one in stalled:
            one.close()


def test_bodies_that_stall_make_room_as_well(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(connections=3, body_seconds=30)
    stalled = [connected(desk, START + b"Content-Length: 2\r\n\r\n{") for _ in range(3)]
    time.sleep(0.2)
    assert desk.send("user", {"ID": "a"}).status_code == 202
    assert closes(stalled[0]) < 0.5
    for one in stalled:
        one.close()


@contextmanager
def half_open(desk: Desk, connections: int, pause: float) -> Iterator[list[int]]:
    """Others hold that many connections half open, and come again ``pause`` seconds after theirs
    were closed; afterwards, how many were."""
    command = [
        sys.executable,
        "-m",
        "tests.half_open",
        str(desk.served.port),
        str(connections),
        str(pause),
    ]
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "there\n"
    closed: list[int] = []
    try:
        yield closed
        closed.append(int(process.communicate("", timeout=30)[0]))
    finally:
        process.kill()
        process.wait()


def delivered(desk: Desk, seconds: float, tries: int = 1) -> list[float]:
    """Deliveries one after the other, each on a connection of its own: after how long each was
    acknowledged, at the latest at the last of the ``tries`` that its sender makes."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        for left in reversed(range(tries)):
            try:
                assert _posted(desk, f"/webhooks/user/u{len(took)}") == 202
                break
            except (RemoteDisconnected, ConnectionError):
                assert left, "the last try was closed as well"
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    return took


def _posted(desk: Desk, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", desk.served.port, timeout=20)) as connection:
        connection.request("POST", path, headers=HEADERS)
        return connection.getresponse().status


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "limits",
    [{"header_seconds": 1}, {"connections": 200}],
    ids=["closed after a time", "closed for others"],
)
def test_deliveries_are_served_while_300_connections_are_half_open(
    make_desk: Callable[..., Desk], limits: dict[str, float]
) -> None:
    desk = make_desk(**limits)
    alone = delivered(desk, SECONDS / 2)
    with half_open(desk, 300, pause=0.2) as closed:
        beside = delivered(desk, SECONDS)
    print(
        f"alone {len(alone)}, median {median(alone) * 1000:.1f} ms; beside 300 half-open "
        f"connections {len(beside)}, median"
        f" {median(beside) * 1000:.1f} ms, longest {max(beside) * 1000:.0f} ms; {closed[0]:,} "
        "of theirs were closed"
    )
    assert closed[0] >= 300, "they came again and again"
    assert median(beside) < 3 * median(alone) + 0.02


def test_while_far_more_connections_storm_than_there_is_room_for_each_delivery_is_acknowledged(
    make_desk: Callable[..., Desk],
) -> None:
    """A sender whose connection had to make room before its headers came tries again, as
    accessplanit does five times."""
    desk = make_desk(connections=40)
    with half_open(desk, 300, pause=0) as closed:
        beside = delivered(desk, SECONDS, tries=5)
    print(
        f"{len(beside)} beside a storm, median {median(beside) * 1000:.1f} ms; {closed[0]:,} of "
        "theirs were closed"
    )
    assert len(beside) > 1
    assert closed[0] > 1000


# -- open files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "given", "raised"),
    [
        (20_000, 20_000, 500, 500, None),
        (256, 20_000, 500, 500, 500 + OTHER_FILES),
        (256, -1, 500, 500, 500 + OTHER_FILES),
        (256, 400, 500, 400 - OTHER_FILES, 400),
        (-1, -1, 500, 500, None),
    ],
)
def test_there_are_no_more_connections_than_open_files(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    wanted: int,
    given: int,
    raised: int | None,
) -> None:
    made: list[tuple[int, int]] = []
    fake = SimpleNamespace(
        RLIMIT_NOFILE=resource.RLIMIT_NOFILE,
        RLIM_INFINITY=resource.RLIM_INFINITY,
        getrlimit=lambda _: (soft, hard),
        setrlimit=lambda _, limits: made.append(limits),
    )
    monkeypatch.setattr(receiver_protocol, "resource", fake)
    assert raise_file_limit(wanted) == given
    assert made == ([] if raised is None else [(raised, hard)])


def test_a_system_that_refuses_a_higher_limit_leaves_as_many_connections_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS does so, although it says that the hard limit is infinite."""

    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(receiver_protocol.resource, "getrlimit", lambda _: (256, infinite))
    monkeypatch.setattr(receiver_protocol.resource, "setrlimit", refuse)
    assert raise_file_limit(500) == 256 - OTHER_FILES


def test_a_process_that_may_open_nearly_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_protocol.resource, "getrlimit", lambda _: (64, 64))
    monkeypatch.setattr(receiver_protocol.resource, "setrlimit", lambda *_: None)
    with pytest.raises(Misconfigured, match="limit of open files is 64"):
        raise_file_limit(500)


def test_fewer_connections_than_asked_for_are_said(
    make_desk: Callable[..., Desk],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = make_desk()
    monkeypatch.setattr(receiver, "raise_file_limit", lambda _: 40)
    given: list[int] = []
    monkeypatch.setattr(
        receiver.uvicorn,
        "run",
        lambda **options: given.append(options["http"].open_connections.maximum),
    )
    receiver.serve(desk.settings, "127.0.0.1", 1, "http://127.0.0.1:1/api")
    assert given == [40]
    assert "40 connections, not 500" in caplog.text

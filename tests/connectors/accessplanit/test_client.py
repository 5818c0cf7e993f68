"""The accessplanit client against the sandbox: completeness, faults, credentials, limits,
discretion."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from connectors.accessplanit.dialect import Dialect
from reconciliation.ask import Ask, Range
from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, SourceFailed
from reconciliation.ports import Hashes
from reconciliation.spec import Clause
from sandbox.faults import KINDS, Faults
from tests.sides import Side

NOTHING: Hashes = np.empty(0, dtype=np.int64)
COLUMNS = ["id", "surname", "forenames", "status", "email"]


def everyone(
    side: Side, ask: Ask | None = None, dialect: Dialect | None = None, **settings: object
):  # type: ignore[no-untyped-def]
    source = side.source(dialect, **settings)
    try:
        return source.read("User", COLUMNS, (), ask or Ask(), NOTHING, "1")
    finally:
        source.close()


def in_sandbox(side: Side, where: str = "1=1", table: str = "User") -> set[str]:
    with side.sandbox.engine.connect() as connection:
        return set(
            connection.exec_driver_sql(f'SELECT "ID" FROM "{table}" WHERE {where}').scalars()
        )


SIZES = [(size, 100) for size in (0, 1, 99, 100, 101, 199, 200, 333)]
SIZES += [(size, 7) for size in (0, 7, 8, 14, 99)] + [(333, 1000)]


@pytest.mark.parametrize(("size", "page"), [*SIZES, (1, 2), (2, 2), (3, 2), (9, 2)])
def test_every_row_comes_once_whatever_the_page(
    make_side: Callable[..., Side], size: int, page: int
) -> None:
    side = make_side(size)
    read = everyone(side, dialect=side.dialect.model_copy(update={"page_size": page}))
    assert set(read.frame["id"]) == in_sandbox(side)
    assert (
        len(read.frame),
        read.read,
        read.complete,
        read.duplicates,
        read.appeared,
        read.vanished,
    ) == (size, size, True, 0, (), ())


def test_filters_ask_for_what_they_say(side: Side) -> None:
    read = everyone(side, Ask((Clause(column="status", values=("Enabled", "New")),)))
    assert set(read.frame["id"]) == in_sandbox(side, "Status IN ('Enabled', 'New')")
    some = tuple(sorted(in_sandbox(side))[:90])
    assert set(everyone(side, Ask(keys=(*some, "nobody's"))).frame["id"]) == set(some)
    source = side.source(side.dialect.model_copy(update={"or_filters": False}))
    assert set(
        source.read("User", COLUMNS, (), Ask(keys=some[:3]), NOTHING, "1").frame["id"]
    ) == set(some[:3])


def test_a_status_is_found_however_the_tenant_spells_it(side: Side) -> None:
    columns = ["id", "user_id", "award_id", "status"]
    read = side.source().read(
        "UserAward",
        columns,
        (),
        Ask((Clause(column="status", values=("In Progress",)),)),
        NOTHING,
        "1",
    )
    assert set(read.frame["id"]) == in_sandbox(side, "Status = 'In Progress'", "UserAward") != set()
    assert set(read.frame["status"]) == {"In Progress"}


def test_ranges_are_closed_at_their_start(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        moments = sorted(connection.exec_driver_sql('SELECT "DateCreated" FROM "User"').scalars())
    middle = datetime.fromisoformat(moments[60]).replace(microsecond=0)
    source = side.source()
    utc = middle.replace(tzinfo=ZoneInfo("Europe/London"))
    read = source.read(
        "User", [*COLUMNS, "created_at"], (), Ask(range=Range("created_at", low=utc)), NOTHING, "1"
    )
    assert set(read.frame["id"]) == in_sandbox(side, f"DateCreated >= '{middle.isoformat()}'")


def test_known_records_are_not_parsed_again(side: Side) -> None:
    first = everyone(side)
    known = np.sort(first.frame["hash"].to_numpy(dtype=np.int64))
    source = side.source()
    again = source.read("User", COLUMNS, (), Ask(), known, "1")
    assert (again.read, again.skipped, len(again.frame)) == (120, 120, 0)
    due = source.read("User", COLUMNS, (), Ask(skip_known=False), known, "1")
    assert (due.skipped, len(due.frame)) == (0, 120)
    other_seed = source.read("User", COLUMNS, (), Ask(), known, "2")
    assert other_seed.skipped == 0, "a changed process looks at every record again"


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_alone_is_survived(make_side: Callable[..., Side], kind: str) -> None:
    side = make_side(330)
    side.sandbox.faults = Faults(
        rate=0.12 if kind == "expired" else 0.25, kinds=(kind,), seed=3, delay=0.6
    )
    dialect = side.dialect.model_copy(update={"page_size": 50})
    login = {
        "api_key": None,
        "username": "svc-hr",
        "password": side.settings.api_key.__class__("sandbox-password"),
    }  # type: ignore[union-attr]
    # One after the other, the same requests meet the same faults each time: three tokens in a row
    # that are refused end a run.
    read = everyone(
        side, dialect=dialect, timeout=0.3, concurrency=1 if kind == "expired" else 8, **login
    )
    assert side.sandbox.faults.drawn[kind] > 0
    lost = len(read.rejected) if kind == "malformed" else 0
    assert len(read.frame) + lost >= 330 - (0 if kind != "shift" else 1)
    assert read.complete or kind in ("shift", "malformed")
    if kind == "shift" and read.complete:
        assert set(read.frame["id"]) == in_sandbox(side)


def test_a_shift_that_loses_a_row_is_seen_and_read_again(make_side: Callable[..., Side]) -> None:
    side = make_side(330)
    calls = 0

    class Once(Faults):
        def draw(self, asked: str | None) -> str | None:
            nonlocal calls
            calls += 1
            return "shift" if calls == 3 else None

    side.sandbox.faults = Once()
    read = everyone(side, dialect=side.dialect.model_copy(update={"page_size": 50}))
    assert calls >= 14, "a second pass"
    assert read.complete
    assert set(read.frame["id"]) == in_sandbox(side)
    assert read.read - read.duplicates == 330


def test_records_without_a_key_at_the_seams_of_pages_are_all_counted(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(330)
    answer = side.sandbox.answer

    def spoiled(*args):  # type: ignore[no-untyped-def]
        response = answer(*args)
        body = json.loads(response.body)
        skip = int(args[2]["$skip"])
        body["results"] = [
            f"broken {skip + i}" if 40 <= skip + i < 60 else row
            for i, row in enumerate(body["results"])
        ]
        response.body = json.dumps(body).encode()
        response.headers["content-length"] = str(len(response.body))
        return response

    side.sandbox.answer = spoiled  # type: ignore[method-assign]
    read = everyone(side, dialect=side.dialect.model_copy(update={"page_size": 50}))
    assert (len(read.frame), len(read.rejected), read.complete) == (310, 20, True)


def test_a_feed_that_never_holds_still_is_not_called_complete(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(330)
    side.sandbox.faults = Faults(rate=1.0, kinds=("shift",))
    assert not everyone(side, dialect=side.dialect.model_copy(update={"page_size": 50})).complete


def test_tokens_are_fetched_refreshed_and_fetched_again(side: Side) -> None:
    login = {
        "api_key": None,
        "username": "svc-hr",
        "password": side.settings.api_key.__class__("sandbox-password"),
    }  # type: ignore[union-attr]
    source = side.source(**login)
    source.read("User", COLUMNS, (), Ask(), NOTHING, "1")
    accounts = side.sandbox.accounts
    (first,) = accounts._access
    accounts._access.clear()
    source.read("User", COLUMNS, (), Ask(), NOTHING, "1")
    assert first not in accounts._access, "by refresh token"
    accounts._access.clear()
    accounts._refresh.clear()
    source.read("User", COLUMNS, (), Ask(), NOTHING, "1")
    assert len(accounts._access) == 1, "by password, the refresh token being refused"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"api_key": "wrong"}, CredentialsRefused, "does not accept the API key.*administrator"),
        (
            {"api_key": None, "username": "svc-hr", "password": "wrong"},
            CredentialsRefused,
            "user name and password.*administrator",
        ),
        ({"api_key": None}, Misconfigured, "without credentials.*Set HRSYNC_ACCESSPLANIT__API_KEY"),
        (
            {"base_url": None},
            Misconfigured,
            "No accessplanit is configured.*HRSYNC_ACCESSPLANIT__BASE_URL",
        ),
        (
            {"base_url": "http://127.0.0.1:1/x", "attempts": 0},
            SourceFailed,
            "does not answer.*Check the address and the network",
        ),
    ],
)
def test_what_stops_a_read_is_one_sentence_with_a_name_on_it(
    side: Side, change: dict[str, object], error: type[HrsyncError], says: str
) -> None:
    secret = side.settings.api_key.__class__  # type: ignore[union-attr]
    change = {
        k: secret(v) if k in ("api_key", "password") and isinstance(v, str) else v
        for k, v in change.items()
    }
    with pytest.raises(error, match=says) as caught:
        everyone(side, **change)
    assert "wrong" not in str(caught.value)
    assert caught.value.fix_in in ("settings", "credentials", "source")


def test_a_wrong_path_and_a_query_that_is_not_understood(side: Side) -> None:
    with pytest.raises(Misconfigured, match=r"has no api/v2/User \(404\)"):
        everyone(side, base_url=side.base_url + "/nowhere")
    other = "quoted" if side.dialect.date_literals == "bare" else "bare"
    source = side.source(side.dialect.model_copy(update={"date_literals": other}))
    with pytest.raises(Misconfigured, match="hrsync doctor"):
        source.read(
            "User",
            [*COLUMNS, "created_at"],
            (),
            Ask(range=Range("created_at", low=datetime.now(UTC))),
            NOTHING,
            "1",
        )


def test_an_exhausted_server_ends_in_one_sentence(side: Side) -> None:
    side.sandbox.faults = Faults(rate=1.0, kinds=("503",))
    with pytest.raises(SourceFailed, match="answered 503 for api/v2/User after all retries"):
        everyone(side, attempts=1)


def test_the_budget_spreads_a_read_over_the_hours(make_side: Callable[..., Side]) -> None:
    side = make_side(330, hourly_limit=4, hour_seconds=1.0)
    read = everyone(
        side,
        dialect=side.dialect.model_copy(update={"page_size": 50}),
        requests_per_hour=4,
        hour_seconds=1.0,
    )
    assert read.complete
    assert len(read.frame) == 330


def test_the_server_s_own_limit_is_waited_for(make_side: Callable[..., Side]) -> None:
    """Seven pages, where four requests an hour are answered."""
    side = make_side(330, hourly_limit=4, hour_seconds=2.0)
    read = everyone(side, dialect=side.dialect.model_copy(update={"page_size": 50}), concurrency=2)
    assert read.complete
    assert len(read.frame) + len(read.rejected) > 6 * 50


def test_nothing_of_a_person_reaches_the_log(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    side.sandbox.faults = Faults(rate=0.3, kinds=("500", "cut", "429"), seed=1)
    with (
        caplog.at_level(logging.DEBUG, logger="hrsync"),
        caplog.at_level(logging.DEBUG, logger="httpx"),
    ):
        read = everyone(side, Ask(keys=tuple(sorted(in_sandbox(side))[:50])))
    told = " ".join(
        r.getMessage() for r in caplog.records if r.name.startswith(("hrsync", "httpx"))
    )
    assert "GET User 200" in told
    for row in read.frame.itertuples():
        assert row.id not in told
        assert row.surname not in told


def test_new_and_vanished_fields_are_seen_and_absent_is_not_null(side: Side) -> None:
    names = {**side.dialect.names, "User.job_title": "ShoeSize"}
    dialect = side.dialect.model_copy(update={"names": names})
    read = side.source(dialect).read(
        "User", [*COLUMNS, "job_title"], ("CF_Nothing",), Ask(), NOTHING, "1"
    )
    assert read.vanished == ("CF_Nothing", "job_title")
    assert (len(read.frame), len(read.rejected)) == (0, read.read)
    assert set(read.rejected["reason"]) == {"is missing from the record"}
    sparse = side.source(dialect.model_copy(update={"sparse": True}))
    read = sparse.read("User", [*COLUMNS, "job_title"], (), Ask(), NOTHING, "1")
    assert read.vanished == ()
    assert read.frame["job_title"].isna().all()
    custom = side.source().read("User", COLUMNS, ("CF_Site",), Ask(), NOTHING, "1")
    assert custom.frame["CF_Site"].notna().all()


def test_a_field_that_one_record_lacks_has_not_vanished(side: Side) -> None:
    answer = side.sandbox.answer

    def cut(*args):  # type: ignore[no-untyped-def]
        response = answer(*args)
        body = json.loads(response.body)
        body["results"] = [
            {k: v for k, v in row.items() if i or k != "Email"} | {"Fax": "1"}
            for i, row in enumerate(body["results"])
        ]
        response.body = json.dumps(body).encode()
        response.headers["content-length"] = str(len(response.body))
        return response

    side.sandbox.answer = cut  # type: ignore[method-assign]
    read = everyone(side)
    assert (read.vanished, read.appeared) == ((), ("Fax",))
    assert set(read.rejected["field"]) == {"email"}
    assert len(read.frame) > 100


def test_rows_are_those_the_service_user_may_see(side: Side) -> None:
    login = {
        "api_key": None,
        "username": "svc-douglas",
        "password": side.settings.api_key.__class__("sandbox-password"),
    }  # type: ignore[union-attr]
    assert set(everyone(side, **login).frame["id"]) == in_sandbox(
        side, "MainCompanyID = 'DOUG900E'"
    )


def test_a_row_that_joins_and_one_that_goes_while_pages_are_read(
    make_side: Callable[..., Side],
) -> None:
    """The sandbox's people change between two pages: what stood still is all there."""
    side = make_side(330)
    before = in_sandbox(side)
    seen = 0
    answer = side.sandbox.answer

    def moving(*args):  # type: ignore[no-untyped-def]
        nonlocal seen
        seen += 1
        if seen == 3:
            with side.sandbox.engine.begin() as connection:
                connection.exec_driver_sql(
                    'DELETE FROM "User" WHERE "ID" = (SELECT min("ID") FROM "User")'
                )
        return answer(*args)

    side.sandbox.answer = moving  # type: ignore[method-assign]
    read = everyone(side, dialect=side.dialect.model_copy(update={"page_size": 50}))
    assert in_sandbox(side) <= set(read.frame["id"]) <= before
    assert read.complete


def test_the_clock_of_a_window_is_the_tenants(side: Side) -> None:
    if side.dialect.date_updated is None:
        pytest.skip("this tenant has no date of the last change")
    side.sandbox.tick(5, kinds=("rename",))
    since = datetime.now(UTC) - timedelta(minutes=5)
    source = side.source()
    read = source.read(
        "User",
        [*COLUMNS, "updated_at"],
        (),
        Ask(range=Range("updated_at", low=since)),
        NOTHING,
        "1",
    )
    changed = {str(c["record"]) for c in side.sandbox.changes_since(0)}
    assert set(read.frame["id"]) == changed
    assert abs(read.frame["updated_at"].max() - datetime.now(UTC)) < timedelta(minutes=1)

"""The sandbox is as faithful to what is known of API v2 as it says."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.accounts import Accounts
from sandbox.app import Sandbox
from sandbox.faults import Faults
from tests.sides import Side

AUTH = {"Authorization": "Bearer sandbox-key"}


@pytest.fixture
def api(side: Side) -> Callable[..., httpx.Response]:
    def call(
        method: str, path: str, query: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        options.setdefault("headers", AUTH)
        return httpx.request(method, f"{side.base_url}/{path}", params=query, **options)

    return call


def ids(response: httpx.Response) -> list[str]:
    return [row["ID"] for row in response.json()["results"]]


def test_tokens_in_any_case_and_for_a_time(make_side: Callable[..., Side]) -> None:
    side = make_side(accounts=Accounts(token_life=1.5))
    form = {"grant_type": "password", "UserName": "svc-hr", "Password": "sandbox-password"}
    for path in ("token", "Token"):
        granted = httpx.post(f"{side.base_url}/api/v2/{path}", data=form)
        assert set(granted.json()) == {
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_in",
            "userID",
        }
    bearer = {"Authorization": f"Bearer {granted.json()['access_token']}"}
    url = f"{side.base_url}/api/v2/User"
    assert httpx.get(url, headers=bearer).status_code == 200
    time.sleep(1.6)
    assert httpx.get(url, headers=bearer).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": granted.json()["refresh_token"]}
    assert httpx.post(f"{side.base_url}/api/v2/token", data=refresh).status_code == 200
    assert httpx.post(f"{side.base_url}/api/v2/token", data=refresh).status_code == 400, (
        "a refresh token is used once"
    )
    assert (
        httpx.post(f"{side.base_url}/api/v2/token", data={**form, "Password": "x"}).json()["error"]
        == "invalid_grant"
    )


def test_names_in_any_case_and_unknown_ones_in_select(api: Callable[..., httpx.Response]) -> None:
    rows = api("GET", "api/v2/user", {"$select": "id,surname,displaycost", "$top": "2"}).json()[
        "results"
    ]
    assert [set(row) for row in rows] == [{"ID", "Surname"}] * 2
    assert api("GET", "api/v2/User", {"$filter": "shoesize eq '42'"}).status_code == 400
    assert api("GET", "api/v2/JobRole").status_code == 404
    assert api("GET", "api/v2/User", headers={}).status_code == 401


@pytest.mark.parametrize(
    ("filter_", "where"),
    [
        ("Surname eq 'O''Brien'", "Surname = 'O''Brien'"),
        ("contains(Surname, 'ell')", "Surname LIKE '%ell%'"),
        (
            "startswith(Email, 'a') and Status eq 'Enabled'",
            "Email LIKE 'a%' AND Status = 'Enabled'",
        ),
        ("MarketingOptIn eq true", "MarketingOptIn = 1"),
        (
            "(Town eq 'Leeds' or Town eq 'Kendal') and not (Status eq 'New')",
            "Town IN ('Leeds','Kendal') AND NOT Status = 'New'",
        ),
    ],
)
def test_filters(api: Callable[..., httpx.Response], side: Side, filter_: str, where: str) -> None:
    found = ids(api("GET", "api/v2/User", {"$filter": filter_, "$top": "100"}))
    with side.sandbox.engine.connect() as connection:
        assert found == list(
            connection.exec_driver_sql(f'SELECT ID FROM "User" WHERE {where} ORDER BY ID').scalars()
        )


def test_paging_and_counting(api: Callable[..., httpx.Response], side: Side) -> None:
    tenant = side.sandbox.tenant
    answer = api(
        "GET",
        "api/v2/User",
        {"$top": "7", "$skip": "5", "$orderby": "Surname desc,ID", "$count": "true"},
    ).json()
    assert len(answer["results"]) == 7
    assert answer.get("count") == (120 if tenant.count_key else None)
    assert len(ids(api("GET", "api/v2/User"))) == tenant.default_page
    assert len(ids(api("GET", "api/v2/User", {"$top": "-1"}))) == min(120, tenant.max_page)
    for bad in (
        {"$top": "-2"},
        {"$skip": "-1"},
        {"$top": "many"},
        {"$orderby": "shoes"},
        {"$filter": "Surname is odd"},
    ):
        assert api("GET", "api/v2/User", bad).status_code == 400


def test_unstable_types(api: Callable[..., httpx.Response], side: Side) -> None:
    rows = api("GET", "api/v2/User", {"$select": "Title,Country,Phone", "$top": "100"}).json()[
        "results"
    ]
    kinds = {type(row["Title"]) for row in rows}
    assert kinds == ({list} if side.sandbox.tenant.arrays_for_dropdowns else {str, type(None)})
    assert {type(row["Phone"]) for row in rows} == {str}, 'no telephone is ""'
    assert "" in {row["Phone"] for row in rows}


def test_metadata(api: Callable[..., httpx.Response], side: Side) -> None:
    body = api("GET", "apihelp/v2/modules/userAward").json()
    names = {field["name"] for field in body["fields"]}
    tenant = side.sandbox.tenant
    assert ("DateUpdated" in names) == tenant.has_date_updated
    assert tenant.wire_names.get(("UserAward", "Passed"), "Passed") in names
    assert "CF_Assessor" in names


def test_writing(api: Callable[..., httpx.Response], side: Side) -> None:
    company = ids(api("GET", "api/v2/Company"))[0]
    person = {
        "Forenames": "Ada",
        "Surname": "Nuñez",
        "MainCompanyID": [company],
        "ExternalID": "X1",
        "Email": "ada@x.example",
    }
    made = api("POST", "api/v2/User", json=person)
    assert made.status_code == 201
    key = made.json()["ID"]

    def stored() -> dict[str, Any]:
        with side.sandbox.engine.connect() as connection:
            return dict(
                connection.exec_driver_sql('SELECT * FROM "User" WHERE ID = ?', (key,))
                .mappings()
                .one()
            )

    assert stored()["FullAddress"] == ""
    assert (
        api(
            "PUT",
            f"api/v2/User/{key}",
            json={"Address": "1 Main Street", "Town": "Lancaster", "Postcode": "LA1 1AB"},
        ).status_code
        == 200
    )
    after = stored()
    assert after["Surname"] == "Nuñez", "PUT is partial"
    assert after["FullAddress"] == "1 Main Street<br />Lancaster<br />LA1 1AB"
    assert after["Status"] == "New"
    assert (
        api(
            "POST", "api/v2/User", {"upsert": "true"}, json={**person, "Surname": "Lee"}
        ).status_code
        == 200
    )
    assert stored()["Surname"] == "Lee", "matched by ExternalID"
    refused = api(
        "POST",
        "api/v2/User",
        json={"Forenames": "x" * 51, "MainCompanyID": "nowhere", "Email": "ada@x.example"},
    )
    assert refused.status_code == 400
    assert {e["field"] for e in refused.json()["errors"]} == {
        "Surname",
        "Forenames",
        "MainCompanyID",
        "Email",
    }
    assert api("DELETE", f"api/v2/User/{key}").status_code == 204
    assert stored()["Status"] == "Deleted"
    assert api("PUT", "api/v2/User/nobody", json={}).status_code == 404
    delegate = {
        "UserID": key,
        "CourseDateID": ids(api("GET", "api/v2/CourseDate"))[0],
        "Status": "Provisional",
    }
    assert (
        api("POST", "api/v2/UserCourseDate", json=delegate).json()["ID"]
        == f"{key}~{delegate['CourseDateID']}"
    )
    events = [c["event"] for c in side.sandbox.changes_since(0)]
    assert events == ["api-insert", "api-update", "api-update", "api-delete", "api-insert"]


def test_item_read_is_an_assumption(api: Callable[..., httpx.Response], side: Side) -> None:
    key = ids(api("GET", "api/v2/User"))[0]
    assert api("GET", f"api/v2/User/{key}").status_code == (
        200 if side.sandbox.tenant.item_read else 404
    )


def test_hourly_limit(make_side: Callable[..., Side]) -> None:
    side = make_side(hourly_limit=2)
    codes = [
        httpx.get(f"{side.base_url}/api/v2/{m}", headers=AUTH)
        for m in ("User", "User", "user", "Award")
    ]
    assert [c.status_code for c in codes] == [200, 200, 429, 200]
    assert 0 < int(codes[2].headers["Retry-After"]) <= 3600


def test_faults_per_call_and_at_a_rate(side: Side) -> None:
    url = f"{side.base_url}/api/v2/User"
    assert httpx.get(url, headers={**AUTH, "X-Sandbox-Fault": "503"}).status_code == 503
    assert httpx.get(url, headers={**AUTH, "X-Sandbox-Fault": "429"}).headers["Retry-After"] == "0"
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url, headers={**AUTH, "X-Sandbox-Fault": "cut"})
    control = side.base_url.rpartition("/")[0] + "/sandbox"
    assert httpx.post(f"{control}/faults", json={"rate": 1.0, "kinds": ["500"]}).status_code == 200
    assert httpx.get(url, headers=AUTH).status_code == 500
    with pytest.raises(ValueError, match="unknown faults"):
        Faults(kinds=("gremlins",))
    ticked = httpx.post(f"{control}/tick", json={"events": 3, "kinds": ["join"]})
    assert ticked.json() == {"join": 3}, ticked.text
    assert len(httpx.get(f"{control}/changes").json()) == 3


@pytest.mark.parametrize("lost", ["503", "html", "cut"])
def test_an_answer_is_lost_though_the_write_was_done_in_one_module(
    api: Callable[..., httpx.Response], side: Side, lost: str
) -> None:
    key = ids(api("GET", "api/v2/User", {"$top": "1"}))[0]
    for done in (False, True):
        side.sandbox.faults = Faults(writes=lost, done=done, modules=("user",))
        if lost == "cut":
            with pytest.raises(httpx.RemoteProtocolError):
                api("PUT", f"api/v2/User/{key}", json={"Town": "Kendal"})
        else:
            answer = api("PUT", f"api/v2/User/{key}", json={"Town": "Kendal"})
            assert answer.status_code == (503 if lost == "503" else 200)
        with side.sandbox.engine.connect() as connection:
            town = connection.exec_driver_sql(
                'SELECT "Town" FROM "User" WHERE "ID" = ?', (key,)
            ).scalar_one()
        assert (town == "Kendal") == done
    side.sandbox.faults = Faults(reads="403", modules=("UserAward",))
    assert (api("GET", "api/v2/UserAward").status_code, api("GET", "api/v2/User").status_code) == (
        403,
        200,
    )
    side.sandbox.faults = Faults(rate=1.0, kinds=("empty",), modules=("UserType",))
    assert ids(api("GET", "api/v2/UserType")) == []
    assert ids(api("GET", "api/v2/User"))


def test_what_happens_only_when_it_is_asked_for(
    api: Callable[..., httpx.Response], side: Side
) -> None:
    assert side.sandbox.tick(1, kinds=("orphan",)) == {"orphan": 1}
    (hidden,) = [str(c["record"]) for c in side.sandbox.changes_since(0) if c["event"] == "orphan"]
    assert ids(api("GET", "api/v2/User", {"$filter": f"ID eq '{hidden}'"})) == []
    assert ids(api("GET", "api/v2/UserAward", {"$filter": f"UserID eq '{hidden}'"})) == []
    with side.sandbox.engine.connect() as connection:
        before = connection.exec_driver_sql('SELECT count(*) FROM "User"').scalar_one()
    side.sandbox.tick(1, kinds=("merge",))
    with side.sandbox.engine.connect() as connection:
        assert connection.exec_driver_sql('SELECT count(*) FROM "User"').scalar_one() == before - 1
        adrift = 'SELECT count(*) FROM "UserAward" WHERE "UserID" NOT IN (SELECT "ID" FROM "User")'
        assert connection.exec_driver_sql(adrift).scalar_one() == 0, (
            "what the merged account had belongs to the other one"
        )
    side.sandbox.tick(1, kinds=("second_target",))
    made = [c["record"] for c in side.sandbox.changes_since(0) if c["event"] == "second_target"]
    with side.sandbox.engine.connect() as connection:
        marks = ", ".join("?" * len(made))
        rows = connection.exec_driver_sql(
            f'SELECT DISTINCT "UserID", "AwardID" FROM "UserAward" WHERE "ID" IN ({marks})',
            tuple(made),
        ).all()
    assert (len(made), len(rows)) == (2, 1)


def test_the_same_seed_is_the_same_organisation(tmp_path: Path) -> None:
    contents = []
    for name in ("a.db", "b.db"):
        Sandbox(str(tmp_path / name), seed=3, size=50).close()
        with sqlite3.connect(tmp_path / name) as connection:
            contents.append(
                connection.execute('SELECT ID, Surname, Email FROM "User" ORDER BY ID').fetchall()
            )
    assert contents[0] == contents[1]
    again = Sandbox(str(tmp_path / "a.db"), seed=99, size=7)
    assert len(again.changes_since(0)) == 0
    again.tick(5, days=2.0)
    offset = again.offset
    again.engine.dispose()
    assert Sandbox(str(tmp_path / "a.db")).offset == offset, "the clock goes on from where it was"


def test_nobody_in_it_exists(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        for email, phone, mobile, number in connection.exec_driver_sql(
            'SELECT Email, Phone, Mobile, NINumber FROM "User"'
        ):
            assert email is None or email.endswith(".example")
            assert phone is None or phone.startswith("01632 960")
            assert mobile is None or mobile.startswith("07700 900")
            assert number.startswith("QQ")

"""What is SCIM's alone: servers that ignore filters, ETags, servers without PATCH or bulk, and the
peer's own tests."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.hr.cells import SEVERAL
from connectors.hr.scim import ScimSettings
from connectors.hr.scim.server import ScimServer
from connectors.hr.scim.system import ScimHr
from connectors.hr.scim.user import (
    CORE,
    ENTERPRISE,
    operations,
    value_of,
    with_values,
    without_unsupported_parts,
)
from connectors.hr.scim.writing import receipt
from reconciliation.errors import CredentialsRefused, Misconfigured, TargetFailed

from .people import People, somebody
from .stands import TOKEN, Stand, scim


@pytest.fixture
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with scim(request, tmp_path) as made:
        yield made
        made.close()


def crippled(stand: Stand, **without: bool) -> ScimHr:
    """A server that says it has not what is named."""
    system = stand.open()
    assert isinstance(system, ScimHr)
    for name, value in without.items():
        setattr(system.server, name, value)
    return system


@pytest.mark.parametrize(
    "without",
    [
        {"patches": False},
        {"bulk": 0},
        {"patches": False, "bulk": 0, "filters": False, "etags": False},
    ],
    ids=str,
)
def test_a_poorer_server_comes_to_the_same(stand: Stand, without: dict[str, Any]) -> None:
    people = People(crippled(stand, **without))
    everybody = [somebody(f"E{n}") for n in range(4)]
    assert {o for _, o in people.write(*everybody)} == {"created"}
    assert people.write(*everybody[:-1], somebody("E3", job_title=None, town="Hove")) == [
        ("E3", "updated")
    ]
    assert not len(
        people.plan(*everybody[:-1], somebody("E3", job_title=None, town="Hove")).changes
    )
    assert set(people.read(email=["e2@hr.example"])) == {"E2"}
    methods = {method for method, path in stand.between.seen if "Users" in path or "Bulk" in path}  # type: ignore[union-attr]
    assert ("PATCH" in methods) == ("PUT" not in methods) or "POST" in methods


@pytest.mark.parametrize("kind", ["302", "403", "408", "500", "html"])
def test_law_11_a_fault_of_a_server_without_bulk_is_no_fault_of_a_row(
    stand: Stand, kind: str
) -> None:
    people = People(crippled(stand, bulk=0))
    changes = people.plan(somebody("E1"), somebody("E2")).changes
    stand.between.fault(kind, 9, write=True)  # type: ignore[union-attr]
    with pytest.raises((TargetFailed, CredentialsRefused)):
        people.system.apply("employees", changes)
    stand.between.clear()  # type: ignore[union-attr]
    people.write(somebody("E1"), somebody("E2"))
    assert set(people.read()) == {"E1", "E2"}


def test_law_11_a_fault_within_a_bulk_answer_is_no_fault_of_a_row(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers 200 as a whole; of three operations the second met a fault of its own."""
    people = People(stand.open())
    told = [
        {"bulkId": str(n), "status": status, "location": f"/Users/{n}"}
        for n, status in enumerate(["201", "503", "201"])
    ]
    monkeypatch.setattr("connectors.hr.scim.server._json", lambda _: {"Operations": told})
    with pytest.raises(TargetFailed) as stopped:
        people.system.apply(
            "employees", people.plan(*(somebody(f"E{n}") for n in range(3))).changes
        )
    assert stopped.value.answered is not None
    assert stopped.value.answered[["key", "outcome"]].to_numpy().tolist() == [
        ["E0", "created"],
        ["E2", "created"],
    ]


def test_a_server_that_ignores_filters_does_not_lead_to_the_wrong_person(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(stand.open())
    people.write(somebody("E1"), somebody("E2"))
    page = ScimServer.page
    monkeypatch.setattr(ScimServer, "page", lambda self, text, start: page(self, None, start))
    deaf = People(stand.open())
    assert set(deaf.read(employee_id=["E2"])) == {"E2"}
    assert deaf.read(email=["nobody@hr.example"]) == {}
    assert deaf.write(somebody("E1", job_title="Rigger"), somebody("E2")) == [("E1", "updated")]
    assert {k: r["job_title"] for k, r in deaf.read().items()} == {"E1": "Rigger", "E2": "Welder"}


def test_what_somebody_changed_in_the_meantime_is_left_to_the_next_run(stand: Stand) -> None:
    people = People(crippled(stand, bulk=0))
    people.write(somebody())
    changes = people.plan(somebody(job_title="Rigger")).changes
    stand.edit("E1", "town", "Hove")
    receipts = people.system.apply("employees", changes)
    assert receipts["outcome"].tolist() == ["failed"]
    assert "in the meantime" in receipts["reason"].iloc[0]
    again = People(stand.open())
    assert again.write(somebody(job_title="Rigger", town="Hove")) == [("E1", "updated")]


def test_what_is_no_business_of_ours_stays(stand: Stand) -> None:
    people = People(stand.open())
    people.write(somebody())
    http = httpx.Client(
        base_url=f"{stand.settings.base_url}/", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    (user,) = http.get("Users").json()["Resources"]
    more = {
        "nickName": "Winnie",
        "emails": [*user["emails"], {"type": "home", "value": "w@home.example"}],
    }
    assert http.put(
        f"Users/{user['id']}", json={**{n: v for n, v in user.items() if n != "meta"}, **more}
    ).is_success
    again = People(stand.open())
    again.write(somebody(email="new@hr.example", phone=None))
    (user,) = http.get("Users").json()["Resources"]
    assert user["nickName"] == "Winnie"
    assert {"type": "home", "value": "w@home.example"} in [
        {n: e[n] for n in ("type", "value")} for e in user["emails"]
    ]
    assert "new@hr.example" in json.dumps(user)


def test_a_server_without_employee_numbers_says_what_to_set(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = frozenset({"employee_number", "company_name"})
    monkeypatch.setattr(ScimServer, "absent", lambda self, columns: absent)
    with pytest.raises(Misconfigured, match="HRSYNC_SCIM__KEY=user_name"):
        stand.open()
    by_name = People(stand.open(stand.settings.model_copy(update={"key": "user_name"})))
    assert "company_name" not in by_name.system.capabilities.entities["employees"].columns
    by_name.write(somebody("wyn"))
    assert set(by_name.read()) == {"wyn"}


def test_the_token_and_the_address_are_asked_for() -> None:
    from connectors.hr import connectors

    with pytest.raises(Misconfigured, match="HRSYNC_SCIM__BASE_URL"):
        connectors()["scim"].open(ScimSettings(), Path())  # type: ignore[call-arg]


def test_the_peers_own_tests_of_the_server_pass_through_our_client(stand: Stand) -> None:
    """scim2-tester over the engine with which we speak: what it finds is the server's, or ours."""
    from scim2_models import ScimProvider
    from scim2_tester import Status, check_server

    system = stand.open(
        stand.settings.model_copy(update={"base_url": stand.settings.base_url, "timeout": 10.0})
    )
    client = system.server.client  # type: ignore[attr-defined]
    client.provider = ScimProvider()
    client.discover()
    results = check_server(client)
    told = [
        f"{r.title}: {r.reason}"
        for r in results
        if r.status not in (Status.SUCCESS, Status.SKIPPED)
    ]
    assert not told, told[:5]
    assert sum(r.status == Status.SUCCESS for r in results) > 100


class Moving:
    """A list of users in pages of two, of which one leaves while it is read for the first
    ``times``."""

    def __init__(self, times: int) -> None:
        self.people = [{"id": f"i{n}", "userName": f"u{n}"} for n in range(6)]
        self.times, self.reads = times, 0

    def page(self, _: str | None, start: int) -> tuple[int, list[dict[str, Any]]]:
        if start == 1:
            self.reads += 1
        page = (len(self.people), self.people[start - 1 : start + 1])
        if start > 1 and self.reads <= self.times:
            # Somebody of an earlier page leaves, somebody new comes: the total stays, everybody
            # moves up.
            self.people = [*self.people[1:], {"id": f"new{self.reads}{start}", "userName": "new"}]
        return page


@pytest.mark.parametrize(
    ("times", "complete", "reads"), [(0, True, 1), (1, True, 2), (2, True, 3), (9, False, 3)]
)
def test_law_1_pages_of_users_that_move_are_read_again_or_incomplete(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, times: int, complete: bool, reads: int
) -> None:
    moving, system = Moving(times), crippled(stand)
    monkeypatch.setattr(system.server, "page", moving.page)
    found, whole = system.server.users(None)
    assert (whole, moving.reads) == (complete, reads)
    if complete:
        assert [each["id"] for each in found] == [each["id"] for each in moving.people]


def test_a_server_of_one_user_a_page_is_read_to_its_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [{"id": f"i{n}"} for n in range(4)]
    system = crippled(stand)
    monkeypatch.setattr(system.server, "page", lambda _, start: (4, people[start - 1 : start]))
    assert system.server.users(None) == (people, True)


ADDRESSES = [
    {"type": "work", "streetAddress": "Old", "formatted": "Old, Hove"},
    {
        "type": "work",
        "primary": True,
        "streetAddress": "1 High St",
        "formatted": "1 High St, Hove",
        "country": "GB",
    },
]


def test_the_primary_address_counts_and_one_that_is_removed_is_removed() -> None:
    user = {"id": "1", "addresses": ADDRESSES}
    assert value_of(user, "address") == "1 High St"
    moved = with_values(user, {"address": "2 High St"})
    assert moved["addresses"][1] == {
        "type": "work",
        "primary": True,
        "streetAddress": "2 High St",
        "country": "GB",
    }
    without_country = [{n: v for n, v in ADDRESSES[1].items() if n != "country"}]
    removed = with_values({"id": "1", "addresses": without_country}, {"address": None})
    assert "addresses" not in removed
    assert operations({"id": "1", "addresses": without_country}, removed) == [
        {"op": "remove", "path": "addresses"}
    ]


@pytest.mark.parametrize("names", list(permutations(["address", "town", "postcode"])), ids=" ".join)
@pytest.mark.parametrize("town", [None, "Leeds"])
def test_an_address_keeps_its_country_whatever_is_cleared_and_in_which_order(
    names: tuple[str, ...], town: str | None
) -> None:
    user = {"id": "1", "addresses": ADDRESSES}
    values = {name: town if name == "town" else None for name in names}
    kept = {"type": "work", "primary": True, "country": "GB"}
    changed = with_values(user, values)
    assert changed["addresses"] == [ADDRESSES[0], kept | ({"locality": town} if town else {})]
    assert with_values(changed, values) == changed


# -- attributes that are null, or have no type ---------------------------------------------------

VALUES = {
    "accessplanit_id": "u1",
    "forenames": "Jo",
    "surname": "Lee",
    "email": "jo@hr.example",
    "phone": "111",
    "mobile": "222",
    "job_title": "Welder",
    "company_name": "Acme",
    "address": "1 High St",
    "town": "Hove",
}
ATTRIBUTES = [
    "externalId",
    "name",
    "emails",
    "phoneNumbers",
    "addresses",
    "title",
    "schemas",
    ENTERPRISE,
]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_that_is_null_is_written_like_one_that_is_absent(attribute: str) -> None:
    user = {"id": "1", "nickName": None, attribute: None}
    changed = with_values(user, VALUES)
    assert changed == with_values({"id": "1"}, VALUES)
    assert {column: value_of(changed, column) for column in VALUES} == VALUES
    nothing = with_values(user, dict.fromkeys(VALUES))
    assert set(nothing) == {"id", "schemas"}
    assert operations(user, nothing) == []


def test_a_null_within_a_list_is_no_reason_to_write_the_list() -> None:
    emails = [{"type": "work", "value": "jo@hr.example", "display": None}]
    user = {"id": "1", "emails": emails, "addresses": None}
    assert operations(user, with_values(user, {"job_title": "Welder"})) == [
        {"op": "replace", "path": "title", "value": "Welder"}
    ]
    parts = {"emails": frozenset({"value"}), "addresses": frozenset({"locality"})}
    assert without_unsupported_parts(user, parts) == {
        "id": "1",
        "emails": [{"value": "jo@hr.example"}],
    }


def numbers(*entries: tuple[str | None, str]) -> dict[str, Any]:
    """A user with these telephone numbers: (type or None, number)."""
    listed = [{"type": kind, "value": value} for kind, value in entries]
    return {"phoneNumbers": [e if e["type"] else {"value": e["value"]} for e in listed]}


@pytest.mark.parametrize(
    ("user", "values", "after"),
    [
        (numbers((None, "111")), {"mobile": "222"}, numbers((None, "111"), ("mobile", "222"))),
        (numbers((None, "111")), {"mobile": "111"}, numbers((None, "111"), ("mobile", "111"))),
        (
            numbers((None, "111"), ("mobile", "222")),
            {"phone": "333"},
            numbers(("work", "333"), ("mobile", "222")),
        ),
        (numbers((None, "111"), ("mobile", "222")), {"phone": None}, numbers(("mobile", "222"))),
        (numbers(("mobile", "222")), {"phone": "111"}, numbers(("mobile", "222"), ("work", "111"))),
        (
            numbers(("work", "111"), (None, "9")),
            {"mobile": "222"},
            numbers(("work", "111"), (None, "9"), ("mobile", "222")),
        ),
        (
            numbers((None, "111"), (None, "222")),
            {"phone": None, "mobile": "222"},
            numbers(("mobile", "222")),
        ),
    ],
    ids=str,
)
def test_one_telephone_number_is_written_and_the_other_stays(
    user: dict[str, Any], values: dict[str, Any], after: dict[str, Any]
) -> None:
    for names in permutations(values):
        changed = with_values(user, {name: values[name] for name in names})
        assert changed["phoneNumbers"] == after["phoneNumbers"]
    for column in {"phone", "mobile"} - set(values):
        assert value_of(changed, column) == value_of(user, column)
    assert {column: value_of(changed, column) for column in values} == values


@pytest.mark.parametrize("phone", [None, "111", "222"])
def test_a_server_that_drops_types_gets_no_number_twice(phone: str | None) -> None:
    user: dict[str, Any] = numbers()
    values = {"mobile": "222", "phone": phone}
    sizes = []
    for _ in range(4):
        # As a run does: only what reads differently is written.
        user = with_values(user, {n: v for n, v in values.items() if value_of(user, n) != v})
        for entry in user["phoneNumbers"]:
            entry.pop("type", None)
        sizes.append(len(user["phoneNumbers"]))
    assert set(sizes) == {2 if phone else 1}
    assert value_of(user, "phone") in (phone, "222")


def test_a_missing_status_does_not_bring_a_leaver_back() -> None:
    assert with_values({"active": False}, {"status": None})["active"] is False
    assert "active" not in with_values({}, {"status": None})
    assert with_values({"active": True}, {"status": "Left"})["active"] is False


def test_clearing_what_is_not_there_adds_nothing() -> None:
    bare = with_values({"id": "1"}, {"forenames": None, "surname": None, "company_name": None})
    assert bare == {"id": "1", "schemas": [CORE]}
    named = {"id": "1", "name": {"givenName": "Jo", "familyName": "Lee", "formatted": "Jo Lee"}}
    assert "name" not in with_values(named, {"forenames": None, "surname": None})
    alone = with_values(named, {"forenames": None})
    assert alone["name"] == {"familyName": "Lee", "formatted": "Lee"}


def test_an_extension_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="the enterprise extension does not have SCIM's format"):
        value_of({ENTERPRISE: "Acme"}, "company_name")
    with pytest.raises(ValueError, match="name does not have SCIM's format"):
        value_of({"name": "Jo Lee"}, "surname")


def test_law_10_the_servers_own_words_are_no_reason() -> None:
    reasons = [
        receipt({"key": "E1", "kind": "update"}, "PUT", 400, kind)[2]
        for kind in ("mutability", "Jo Lee is it")
    ]
    assert reasons == [
        "the SCIM server refused it (400, mutability)",
        "the SCIM server refused it (400)",
    ]


def users(monkeypatch: pytest.MonkeyPatch, system: ScimHr, *people: dict[str, Any]) -> None:
    """The server's users, whatever is asked for."""
    schemas = [ENTERPRISE, CORE]
    listed = [
        {
            "schemas": schemas,
            "id": f"i{n}",
            "userName": f"u{n}",
            "active": True,
            ENTERPRISE: {"employeeNumber": f"E{n}"},
        }
        | each
        for n, each in enumerate(people)
    ]
    monkeypatch.setattr(system.server, "page", lambda _, start: (len(listed), listed[start - 1 :]))


def test_law_9_a_number_that_several_users_have_is_nobodys(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = crippled(stand, bulk=0)
    users(monkeypatch, system, {}, {ENTERPRISE: {"employeeNumber": "E0"}}, {})
    found = system.read("employees", {"status": "text"})
    assert found.frame["employee_id"].tolist() == ["E2"]
    assert found.rejected[["key", "reason"]].to_numpy().tolist() == [["E0", SEVERAL]] * 2
    changes = (
        People(system)
        .plan(somebody("E2"))
        .changes.head(1)
        .assign(key="E0", kind="update", fields="town")
    )
    assert system.apply("employees", changes)[["outcome", "reason"]].to_numpy().tolist() == [
        ["failed", SEVERAL]
    ]
    assert not [path for method, path in stand.between.seen if method in ("PATCH", "PUT")]  # type: ignore[union-attr]


def test_law_1_an_attribute_that_nobody_has_is_silent_and_one_that_somebody_has_is_not(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no value a server leaves out, and what it has stopped to show as well."""
    system = crippled(stand)
    phones = {"phoneNumbers": [{"type": "work", "value": "1"}]}
    users(monkeypatch, system, {"externalId": "a"}, phones)
    columns = {"accessplanit_id": "text", "phone": "text", "town": "text"}
    assert system.read("employees", columns).silent == ("town",)
    some = system.read("employees", columns, {"employee_id": ["E0"]})
    assert some.frame["employee_id"].tolist() == ["E0"]
    assert some.silent == ("town",), "the first page shows a telephone number"


# -- a person as a resource: what servers send, and what a write must not lose ---------------------


def test_attributes_that_are_null_have_no_value_and_can_be_written() -> None:
    user = {"emails": None, "name": None, "phoneNumbers": None, ENTERPRISE: None, "schemas": None}
    assert value_of(user, "surname") is None
    values = {"email": "a@x.example", "surname": "Lee", "mobile": "1", "company_name": "Acme"}
    written = with_values(user, values)
    assert {column: value_of(written, column) for column in values} == values
    assert written["schemas"] == [CORE, ENTERPRISE]


def test_a_number_without_a_type_is_neither_lost_nor_doubled() -> None:
    """RFC 7643 does not demand a type, and some servers drop it."""
    user = {"phoneNumbers": [{"value": "111"}]}
    written = with_values(user, {"mobile": "222"})
    assert (value_of(written, "phone"), value_of(written, "mobile")) == ("111", "222")
    dropped = {"phoneNumbers": [{"value": e["value"]} for e in written["phoneNumbers"]]}
    again = with_values(dropped, {"phone": "111", "mobile": "222"})
    assert [e["value"] for e in again["phoneNumbers"]] == ["111", "222"]


@pytest.mark.parametrize(
    "values", [{"address": None, "town": "Leeds"}, {"town": "Leeds", "address": None}]
)
def test_an_address_keeps_what_is_not_managed(values: dict[str, str | None]) -> None:
    home = {"type": "work", "streetAddress": "1 Mill Ln", "country": "GB", "primary": True}
    (kept,) = with_values({"addresses": [home]}, values)["addresses"]
    assert kept == {"type": "work", "country": "GB", "primary": True, "locality": "Leeds"}
    (kept,) = with_values({"addresses": [home]}, {"address": None})["addresses"]
    assert kept == {"type": "work", "country": "GB", "primary": True}


def test_no_value_leaves_no_empty_attribute_and_never_enables_anybody() -> None:
    written = with_values(
        {"active": False}, {"status": None, "surname": None, "company_name": None}
    )
    assert written == {"active": False, "schemas": [CORE]}

"""Records that cannot be read, among many that can."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from flows._run import Order
from tests.sides import Side

WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"


def spoil(side: Side, module: str, count: int, seed: int) -> dict[str, int]:
    """Malforms ``count`` records of the answers to ``module`` in many ways; returns how many of
    each."""
    dice = random.Random(seed)
    kinds: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("no object", lambda r: "<<broken>>"),
        ("null", lambda r: None),
        ("a list", lambda r: [r["ID"]]),
        ("a number", lambda r: 17),
        ("no key", lambda r: {k: v for k, v in r.items() if k != "ID"}),
        ("null key", lambda r: {**r, "ID": None}),
        ("key is an object", lambda r: {**r, "ID": {"value": r["ID"]}}),
        ("blank key", lambda r: {**r, "ID": "  "}),
        ("no status", lambda r: {k: v for k, v in r.items() if k != "Status"}),
        ("status is an object", lambda r: {**r, "Status": {"x": 1}}),
        ("two statuses", lambda r: {**r, "Status": ["Enabled", "New"]}),
        ("no surname", lambda r: {**r, "Surname": ""}),
        ("surname too long", lambda r: {**r, "Surname": "x" * 41}),
        ("forename is a flag", lambda r: {**r, "Forenames": True}),
        ("impossible date", lambda r: {**r, "DateCreated": "2025-02-30T10:00:00"}),
        ("UK date", lambda r: {**r, "DateCreated": "22/02/2025 11:01"}),
        (
            "date with two offsets",
            lambda r: {**r, "DateCreated": "2025-02-22T11:01:38+01:00+02:00"},
        ),
        ("ancient date", lambda r: {**r, "DateCreated": "1066-10-14T09:00:00"}),
        ("date is a number", lambda r: {**r, "DateCreated": 45710}),
        ("no e-mail address", lambda r: {**r, "Email": "call reception"}),
        ("e-mail too long", lambda r: {**r, "Email": "x" * 90 + "@x.example"}),
        ("control character", lambda r: {**r, "JobTitle": "Fore\u0000man"}),
        ("half a character", lambda r: {**r, "JobTitle": "\ud800"}),
        ("nested text", lambda r: {**r, "Phone": {"home": "01632 960001"}}),
        ("opt-in perhaps", lambda r: {**r, "MarketingOptIn": "perhaps"}),
    ]
    with side.sandbox.engine.connect() as connection:
        keys = sorted(
            connection.exec_driver_sql(
                f"SELECT ID FROM \"{module}\" WHERE Status IN ('Enabled', 'New')"
            ).scalars()
        )
    chosen = {key: kinds[i % len(kinds)] for i, key in enumerate(dice.sample(keys, count))}
    answer = side.sandbox.answer

    def spoiled(*args: Any) -> Any:
        response = answer(*args)
        if args[0] == "GET" and args[1] == [module]:
            body = json.loads(response.body)
            body["results"] = [
                chosen[r["ID"]][1](r) if r.get("ID") in chosen else r for r in body["results"]
            ]
            response.body = json.dumps(body).encode("ascii")
            response.headers["content-length"] = str(len(response.body))
        return response

    side.sandbox.answer = spoiled  # type: ignore[method-assign]
    side.sandbox.__dict__["mend"] = lambda: setattr(side.sandbox, "answer", answer)
    return Counter(kind for kind, _ in chosen.values())


@pytest.mark.soak
def test_a_thousand_malformed_records_among_twenty_thousand(
    make_side: Callable[..., Side],
) -> None:
    """On a smaller scale in an ordinary run; the whole: ``make chaos``."""
    people, bad = (23_000, 1000) if WHOLE else (4_600, 200)
    side = make_side(people)
    kinds = spoil(side, "User", bad, seed=5)
    assert len(kinds) >= 15
    with side.sandbox.engine.connect() as connection:
        in_scope = connection.exec_driver_sql(
            "SELECT count(*) FROM \"User\" WHERE Status IN ('Enabled', 'New')"
        ).scalar_one()
    assert in_scope > 20 * bad
    report = side.users()
    assert report.outcomes["quarantined"] == bad
    assert report.outcomes["created"] == in_scope - bad == len(side.rows("employees"))
    assert sum(rows for _, _, _, rows in report.reasons) == bad
    entries = side.store.quarantined(limit=2000)
    alike = sum(kinds[kind] - 1 for kind in ("no object", "null", "a number"))
    assert len(entries) == bad - alike, (
        "records without a key that are alike to the byte are one entry"
    )
    assert all(e["feed"] == "User" and e["field"] and e["reason"] and e["raw"] for e in entries)
    side.sandbox.mend()  # type: ignore[attr-defined]
    keyed = sum(e["key"] is not None for e in entries)
    assert side.store.retry_now("users_to_hr", None) == keyed
    replayed = side.users()
    assert replayed.outcomes["created"] >= keyed > bad // 2
    side.users(Order(full=True))
    assert len(side.rows("employees")) == in_scope
    assert side.store.quarantined() == []


def test_the_quarantine_empties_itself_when_the_source_is_mended(side: Side) -> None:
    kinds = spoil(side, "User", 50, seed=2)
    assert len(kinds) == 25
    assert side.users().outcomes["quarantined"] == 50
    assert side.users().written == 0
    side.sandbox.mend()  # type: ignore[attr-defined]
    side.users()
    left = {e["key"] for e in side.store.quarantined()}
    assert left <= {None}, "what has a key was looked at again"
    side.users(Order(full=True))
    side.awards()
    assert side.differences() == []
    assert [e for e in side.store.quarantined() if e["process"] == "users_to_hr"] == []

"""What is written is read back, and nothing else is changed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciliation.frame import of
from reconciliation.plan import reconcile
from tests.examples import share

from .people import KEY, WYN, People, somebody
from .stands import Stand


def test_an_empty_system_is_read_whole(people: People) -> None:
    read = people.system.read("employees", people.columns)
    assert (len(read.frame), read.complete, people.system.population("employees")) == (0, True, 0)


def test_a_new_row_is_created_and_read_back_as_it_was_written(people: People, stand: Stand) -> None:
    assert people.write(somebody()) == [("E1", "created")]
    expected = {KEY: "E1", **{n: {**WYN, "email": "e1@hr.example"}[n] for n in people.columns}}
    assert people.read() == {"E1": expected}
    assert People(stand.open()).read() == {"E1": expected}, "it outlives the connection"


def test_what_was_written_needs_nothing_more(people: People) -> None:
    people.write(somebody(), somebody("E2", phone=None))
    plan = people.plan(somebody(), somebody("E2", phone=None))
    assert not len(plan.changes)


def test_an_update_changes_what_it_names_and_nothing_else(people: People) -> None:
    people.write(somebody(), somebody("E2"))
    before = people.read()
    assert people.write(somebody(job_title="Rigger"), somebody("E2")) == [("E1", "updated")]
    before["E1"]["job_title"] = "Rigger"
    assert people.read() == before


def test_an_update_leaves_alone_what_is_not_managed(people: People, stand: Stand) -> None:
    people.write(somebody())
    narrow = {n: k for n, k in people.columns.items() if n != "town"}
    stand.edit("E1", "town", "Hove")
    system = stand.open()
    wanted = people.wanted(somebody(job_title="Rigger"))[[KEY, *narrow]]
    plan = reconcile(wanted, system.read("employees", narrow).frame, KEY, narrow, list(narrow))
    system.apply("employees", plan.changes)
    assert People(stand.open()).read()["E1"]["town"] == "Hove"


def test_no_value_takes_a_value_away_and_a_blank_is_no_value(people: People) -> None:
    people.write(somebody())
    people.write(somebody(phone=None, job_title=None))
    read = people.read()["E1"]
    assert pd.isna(read["phone"])
    assert pd.isna(read["job_title"])
    people.write(somebody(phone="01539 555002", job_title=None))
    assert people.read()["E1"]["phone"] == "01539 555002"


def test_a_closed_row_stays_and_says_so(people: People) -> None:
    people.write(somebody())
    changes = people.plan(somebody(status="Inactive")).changes.assign(kind="close")
    assert people.load(changes) == [("E1", "closed")]
    assert people.read()["E1"]["status"] == "Inactive"
    assert people.system.population("employees") == 1, "nobody is deleted"


def test_somebody_closed_can_come_back(people: People) -> None:
    people.write(somebody())
    people.write(somebody(status="Inactive"))
    people.write(somebody())
    assert people.read()["E1"]["status"] == "Active"


TEXTS = {
    "accents": "Zoë Ångström-Ñuñez",
    "other scripts": "李小龍 Дмитрий עִבְרִית",
    "emoji": "Wyn 👩🏽‍🔧",
    "combining": "e\u0301 a\u030a",
    "quotes": 'O\'Brien "Bob" & <Co>',
    "delimiters": "a,b;c\td|e",
    "lines": "first\nsecond",
    "formula": '=HYPERLINK("http://x.example")',
    "at": "@SUM(1)",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "percent": "100%s {x} $1 \\n",
    "digits": "007",
    "null": "null",
    "long": "x" * 250,
}


def test_text_is_kept_to_the_letter(people: People) -> None:
    texts = {f"E{number}": text for number, text in enumerate(TEXTS.values())}
    everybody = [somebody(key, job_title=t, surname=t[:60]) for key, t in texts.items()]
    assert dict(people.write(*everybody)) == dict.fromkeys(texts, "created")
    read = people.read()
    assert {key: row["job_title"] for key, row in read.items()} == texts
    assert {key: row["surname"] for key, row in read.items()} == {
        k: t[:60] for k, t in texts.items()
    }
    assert not len(people.plan(*everybody).changes)


CONTROLS = ("a\x00b", "a\x1bb", "a\x85b", "a\u2028b", "a\ufeffb", "a\x0bb")
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "text": (
        st.text(st.characters(codec="utf-8"), max_size=30)
        | st.sampled_from([*TEXTS.values(), *CONTROLS])
    ).map(lambda text: text.strip() or None),
    "flag": st.booleans(),
    "day": st.dates(date(1900, 1, 1), date(2199, 12, 31)),
    "moment": st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),
}
"""Values of each kind that a record may hold, and text that none may."""
OF_A_FORM = {
    "email",
    "phone",
    "mobile",
    "status",
    "custom",
    "custom_for_accessplanit",
    "accessplanit_id",
}
"""Columns whose text has a form of its own."""


@pytest.mark.slow
@settings(
    max_examples=share(15),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_law_5_what_is_written_can_be_read(people: People, data: st.DataObject) -> None:
    """Through every HR system: a value comes back as it was written, or its row is refused with a
    reason and stays as it was."""
    held = people.system.capabilities.entities["employees"].columns
    people.columns |= held
    drawn = {name: DRAWN[kind] for name, kind in held.items() if name not in OF_A_FORM}
    for _ in range(2):
        before = people.read()
        chosen = [
            somebody(key, **data.draw(st.fixed_dictionaries({}, optional=drawn)))
            for key in ("E1", "E2", "E3")
        ]
        outcomes = dict(people.write(*chosen))
        read, rejected = people.read(), people.system.read("employees", people.columns).rejected
        assert not len(rejected)
        refused = {key for key, outcome in outcomes.items() if outcome == "failed"}
        assert {key: read.get(key) for key in refused} == {key: before.get(key) for key in refused}
        assert set(people.plan(*chosen).changes["key"]) <= refused


def test_every_column_that_is_held_is_kept(people: People) -> None:
    holds = people.system.capabilities.entities["employees"]
    sample = {
        "text": lambda n: f"{n} 1",
        "day": lambda n: date(2026, 3, 31),
        "flag": lambda n: True,
    }
    sample["moment"] = lambda n: datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
    special = {
        "email": "a@hr.example",
        "status": "Active",
        "custom": '{"CF_A": "1"}',
        "custom_for_accessplanit": '{"CF_B": "2"}',
    }
    row = {n: special.get(n) or sample[k](n) for n, k in holds.columns.items()}
    wanted = of({KEY: "text", **holds.columns}, [["E1", *row.values()]])
    nobody = people.system.read("employees", holds.columns).frame
    people.load(reconcile(wanted, nobody, KEY, holds.columns, list(holds.columns)).changes)
    (read,) = people.system.read("employees", holds.columns).frame.to_dict("records")
    assert {n: read[n] for n in row} == row


LIKELY = {
    "custom": None,
    KEY: "E1",
    "status": "Completed",
    "completed_on": date(2025, 3, 31),
    "expires_on": date(2026, 3, 31),
}
"""What a record of accessplanit may really hold, where not everything may stand."""


def test_every_entity_that_is_held_is_kept(stand: Stand) -> None:
    system = stand.open()
    People(system).write(somebody())
    sample = {
        "text": lambda n: f"{n} 1",
        "day": lambda n: date(2026, 3, 31),
        "flag": lambda n: True,
    }
    sample["moment"] = lambda n: datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
    for entity, holds in system.capabilities.entities.items():
        if entity == "employees":
            continue
        row = {n: LIKELY.get(n, sample[k](n)) for n, k in holds.columns.items()}
        wanted = of({holds.key: "text", **holds.columns}, [["R1", *row.values()]])
        nothing = system.read(entity, holds.columns).frame
        plan = reconcile(wanted, nothing, holds.key, holds.columns, list(holds.columns))
        fit = plan.changes[
            ~plan.changes["key"].isin(system.rejections(entity, plan.changes)["key"])
        ]
        assert system.apply(entity, fit)["outcome"].tolist() == ["created"], entity
        again = reconcile(
            wanted,
            system.read(entity, holds.columns).frame,
            holds.key,
            holds.columns,
            list(holds.columns),
        )
        assert not len(again.changes), entity

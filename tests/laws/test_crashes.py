"""A crash anywhere ends where an undisturbed run ends (laws 7 and 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from flows import award_targets_from_hr, users_from_hr
from flows._run import Order
from reconciliation.frame import of
from reconciliation.run.interrupted import already_made
from reconciliation.spec import ProcessSpec
from tests.examples import SHARE, USERS, examples
from tests.sides import Side
from tests.worlds import STORES, Deaths, Hr, entries, mortal, run

from .small_process import COLUMNS, SPEC, employee, feed_of, small_hr


def undisturbed(
    users: dict[str, dict[str, Any]], there: list[tuple[Any, ...]], order: Order
) -> tuple[Any, ...]:
    hr, store = small_hr(2, list(there)), STORES.fresh()
    for _ in range(2):
        run(SPEC, feed_of(users), hr, store, order)
        assert not store.open_intents(SPEC.name), "the fate of every change is written down"
    return left_behind(hr, store)


def left_behind(hr: Hr, store: Any) -> tuple[Any, ...]:
    links = store.links("employees").sort_values("source_key").to_numpy().tolist()
    known = store.known(SPEC.name).tolist()
    return (
        hr.content("employees"),
        links,
        known,
        store.watermark(SPEC.name, SPEC.fingerprint()),
        Counter(entries(store)),
    )


FIVE = {key: {"surname": "Lee", "status": "Enabled", "email": None, "at": 0} for key in "abcde"}


def at_many_places(test: Any) -> Any:
    """Five people in batches of two, killed once at each place from where the plan is kept; in an
    ordinary run at every third."""
    for place in range(34, 58, SHARE):
        test = example(users=FIVE, there=set(), deaths=[place], sweep=False)(test)
    return test


@examples(30)
@at_many_places
@given(
    users=USERS,
    there=st.sets(st.sampled_from("abxy")),
    deaths=st.lists(st.integers(0, 58), min_size=1, max_size=3),
    sweep=st.booleans(),
)
def test_law_7_a_crash_anywhere_ends_where_an_undisturbed_run_ends(
    users: dict[str, dict[str, Any]], there: set[str], deaths: list[int], sweep: bool
) -> None:
    """Killed before or after any call to either side or the store, several times, and run again:
    HR, links, records, watermark and ledger are as if nothing had happened, and no row whose
    receipt was written was sent twice."""
    rows = [employee(f"H-{key}", key, "Old") for key in sorted(there)]
    order = Order(sweep=sweep)
    expected = undisturbed(users, rows, order)
    hr, store = small_hr(2, rows), STORES.fresh()
    for place in deaths:
        receipted = Counter(entries(store))
        before = Counter(hr.calls)
        mortal(SPEC, feed_of(users), hr, store, Deaths(place), order)
        again = Counter(hr.calls) - before
        for entity, key in again:
            assert not any(e[:2] == (entity, key) for e in receipted), (
                "its receipt was written already"
            )
    # Twice: while nothing is loaded, what is out of scope is not even read, and so not remembered.
    for _ in range(2):
        run(SPEC, feed_of(users), hr, store, order)
    assert left_behind(hr, store) == expected


def test_law_12_a_create_is_looked_for_by_accessplanits_own_id_too() -> None:
    """HR has made a row for the user itself, under a key of its own, while the create waited."""
    creates = of(
        {"key": "text", **COLUMNS},
        [("AP-e", *employee("", "e")[1:]), ("AP-f", *employee("", "f")[1:])],
    )
    found, _, whole = already_made(
        SPEC, creates, small_hr(rows=[employee("E9", "e"), employee("E8", "g")]), STORES.fresh()
    )
    assert (found["key"].tolist(), found["given"].tolist(), whole) == (["AP-e"], ["E9"], True)


def test_law_12_what_a_plan_has_made_already_holds_none_of_its_other_creates() -> None:
    """Two new users share a mailbox; the plan was interrupted between them."""
    creates = of(
        {"key": "text", **COLUMNS},
        [(key, *employee("", key[-1], email="depot@x")[1:]) for key in ("N-e", "N-f")],
    )
    made = small_hr(rows=[employee("N-e", "e", email="depot@x")])
    found, held, _ = already_made(SPEC, creates, made, STORES.fresh())
    assert (found["given"].tolist(), held) == (["N-e"], [])
    _, held, _ = already_made(
        SPEC, creates, small_hr(rows=[employee("E9", None, email="depot@x")]), STORES.fresh()
    )
    assert held == ["N-e", "N-f"]


def test_what_was_made_already_is_found_by_the_rules_of_the_process(
    make_side: Callable[..., Side], dialect_name: str
) -> None:
    """In accessplanit, for each module that HR makes records of."""
    side = make_side(20)
    world = side.world(users_from_hr.SPEC)
    with side.sandbox.engine.connect() as connection:
        known = dict(
            connection.exec_driver_sql(
                'SELECT * FROM "User" WHERE "ExternalID" IS NOT NULL LIMIT 1'
            )
            .mappings()
            .one()
        )
        aim = dict(
            connection.exec_driver_sql(
                'SELECT * FROM "UserAward" WHERE "Status" = \'Target\' LIMIT 1'
            )
            .mappings()
            .one()
        )

    def create(spec: ProcessSpec, key: str, **values: Any) -> Any:
        row = {name: values.get(name) for name in spec.columns()}
        return of({"key": "text", **spec.columns()}, [(key, *row.values())])

    store = STORES.fresh()
    found, _, whole = already_made(
        users_from_hr.SPEC,
        create(users_from_hr.SPEC, "new:ROW7", external_id=f" {known['ExternalID'].lower()}"),
        world.target,
        store,
    )
    assert (found["key"].tolist(), found["given"].tolist(), whole) == (
        ["new:ROW7"],
        [known["ID"]],
        True,
    )
    found, _, _ = already_made(
        users_from_hr.SPEC,
        create(users_from_hr.SPEC, "new:ROW8", external_id="nobody"),
        world.target,
        store,
    )
    assert len(found) == 0
    spec = award_targets_from_hr.SPEC
    day = datetime.fromisoformat(aim["TargetDate"]).date() if aim["TargetDate"] else None
    wanted = create(
        spec,
        "new:T1",
        user_id=aim["UserID"],
        award_id=aim["AwardID"],
        status="Target",
        target_date=day,
    )
    found, _, _ = already_made(spec, wanted, world.target, store)
    assert found["given"].tolist() == [aim["ID"]]

"""Every row ends in one outcome, and no outcome tells of a person (laws 9 and 10)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.store.schema import quarantine
from flows._run import Order, World, plainly, run_process
from reconciliation.errors import HrsyncError, StalePlan
from reconciliation.spec import Guard, Limit
from tasks.publish import summary
from tests.examples import KEYS, USERS, examples
from tests.worlds import KEYLESS, NOW, STORES, UNREADABLE, Feed, run, user

from .small_process import SPEC, employee, feed_of, small_hr

# -- 9: everything lands somewhere ---------------------------------------------------------------

SOMEBODY = {"a": {"surname": "Lee", "status": "Enabled", "email": None, "at": 0}}
PLAIN: dict[str, Any] = {
    "users": SOMEBODY,
    "later": {},
    "there": [],
    "refused": set(),
    "whole": True,
    "breaker": 50,
}
REFUSED: dict[str, Any] = {
    **PLAIN,
    "users": dict.fromkeys("abcdef", SOMEBODY["a"]),
    "refused": set("abcdef"),
    "breaker": 2,
}


@examples(60)
@example(**REFUSED, broken={}, orders=[Order()], removed=False, after="nothing", gone="close")
@example(
    **PLAIN,
    broken={"a": UNREADABLE},
    orders=[Order(), Order(full=True)],
    removed=False,
    after="resting",
    gone="close",
)
@example(
    **PLAIN,
    broken={},
    orders=[Order(), Order(sweep=True)],
    removed=True,
    after="nothing",
    gone="report",
)
@given(
    users=USERS,
    later=USERS,
    broken=st.dictionaries(KEYS, st.sampled_from([UNREADABLE, KEYLESS])),
    there=st.lists(
        st.tuples(st.sampled_from("abxy"), st.sampled_from(["a@x", None])),
        max_size=3,
        unique_by=lambda row: row[0],
    ),
    refused=st.sets(KEYS) | st.just(set("abcdefgh")),
    orders=st.lists(
        st.sampled_from([Order(), Order(full=True), Order(sweep=True)]), min_size=1, max_size=2
    ),
    whole=st.booleans(),
    removed=st.booleans(),
    after=st.sampled_from(["nothing", "discarded", "resting"]),
    breaker=st.sampled_from([2, 50]),
    gone=st.sampled_from(["close", "report"]),
)
def test_law_9_every_row_ends_in_exactly_one_outcome(
    users: dict[str, dict[str, Any]],
    later: dict[str, dict[str, Any]],
    broken: dict[str, str],
    there: list[tuple[str, str | None]],
    refused: set[str],
    orders: list[Order],
    whole: bool,
    removed: bool,
    after: str,
    breaker: int,
    gone: str,
) -> None:
    """Readable and not, in scope and not, matched or ambiguous, refused, gone, discarded: the
    counts add up (``run`` asserts it), and every record that was read is landed, in quarantine, or
    neither because it was not tried."""
    spec = SPEC.model_copy(
        update={"breaker": breaker, "scope": SPEC.scope.model_copy(update={"gone": gone})}
    )
    feed, store = (
        feed_of(users, broken={k: v for k, v in broken.items() if k in users}),
        STORES.fresh(),
    )
    hr = small_hr(2, [employee(f"H-{key}", None, email=mail) for key, mail in there])
    hr.refuses = lambda key: key.removeprefix("AP-") in refused
    hr.complete = whole
    for number, order in enumerate(orders):
        now = NOW + timedelta(minutes=number)
        # While nothing is loaded, accessplanit itself leaves out what is not in scope.
        left_out = "Inactive" if not len(store.known(spec.name)) and not order.sweep else None
        try:
            run(spec, feed, hr, store, order, now)
        except HrsyncError as error:
            assert "changes in a row" in str(error)  # noqa: PT017
            figures = store.runs(1)[0]["report"]
            assert figures["read"] + figures["reexamined"] == sum(figures["outcomes"].values())
        else:
            if order.full or order.sweep:
                keyed = [
                    k
                    for k, r in feed.records.items()
                    if feed.broken.get(k) != KEYLESS and r["status"] != left_out
                ]
                kept = [
                    key
                    for key in keyed
                    if any(e["status"] in ("open", "discarded") for e in store.entries_of(key))
                ]
                assert len(store.known(spec.name)) + len(kept) >= len(keyed)
        for entry in store.quarantined() if after == "discarded" else []:
            store.discard(entry["id"], "not wanted")
        if after == "resting":
            with store.engine.begin() as connection:
                connection.execute(quarantine.update().values(next_attempt=datetime(2030, 1, 1)))
        next_ = later if removed else {**users, **later}
        feed = feed_of(next_, broken={key: how for key, how in broken.items() if key in next_})


# -- 10: personal data stays where it is ---------------------------------------------------------

CANARY = "Xanthippe-Quimby"


@examples(40)
@given(
    count=st.integers(1, 4),
    broken=st.sampled_from([None, UNREADABLE, KEYLESS]),
    trouble=st.sampled_from(["none", "refused", "driver", "defect", "stale", "guard", "ambiguous"]),
    sweep=st.booleans(),
)
def test_law_10_no_report_reason_or_exception_tells_of_a_person(
    count: int, broken: str | None, trouble: str, sweep: bool
) -> None:
    """Whatever goes wrong: what leaves the store and the two sides holds no name, address or ID."""
    records = {
        f"{CANARY}-{n}": user(
            f"{CANARY}-{n}", surname=CANARY, email=f"{CANARY}@x" if trouble == "ambiguous" else None
        )
        for n in range(count)
    }
    feed, store, hr = Feed(records), STORES.fresh(), small_hr(2)
    if broken:
        feed.broken[f"{CANARY}-0"] = broken
    spec = (
        SPEC.model_copy(update={"guard": Guard(create=Limit(percent=1, absolute=0), population=0)})
        if trouble == "guard"
        else SPEC
    )

    def spoilt(entity: str, changes: pd.DataFrame) -> Any:
        raise (KeyError if trouble == "driver" else MemoryError)(
            f"bad value {changes['surname'].iloc[0]}"
        )

    if trouble == "refused":
        hr.refuses = lambda _: True
    elif trouble == "driver":
        hr.apply = spoilt  # type: ignore[method-assign]
    elif trouble == "defect":
        hr.population = lambda entity: {}[CANARY]  # type: ignore[method-assign]
    told = []
    try:
        report = run(spec, feed, hr, store, Order(sweep=sweep))
        told += [summary(report), json.dumps(asdict(report), default=str)]
    except HrsyncError as error:
        told += [
            str(error),
            repr(error),
            str(error.__cause__),
            str(error.__context__ if error.__suppress_context__ is False else ""),
        ]
    if trouble == "stale":
        _, plan = run_process(
            spec,
            World(feed, hr, store, "Europe/London", lambda: NOW),
            Order(mode="plan", full=True, keep=True),
            call=plainly,
        )
        assert plan.digest != replace(plan, salt=b"").digest, (
            "nobody can guess from it whom the plan is about"
        )
        with pytest.raises(StalePlan) as caught:
            run(
                spec, feed, hr, store, Order(approve=plan.digest if len(plan.changes) else "0" * 16)
            )
        told.append(str(caught.value))
    told += [json.dumps(row["report"], default=str) + str(row["reason"]) for row in store.runs(9)]
    assert CANARY not in "\n".join(told)

"""Absent is never inferred from unreadable or unseen (laws 1 and 2)."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows._run import Order
from reconciliation.ask import Moment
from reconciliation.errors import Misconfigured
from reconciliation.frame import of, strings
from reconciliation.match import LINKS
from reconciliation.ports import NO_HASHES, Marks
from reconciliation.run.compare import compare
from reconciliation.run.comparison import Comparison
from reconciliation.run.whole_feed import sweep_part, verify
from reconciliation.sweep import ORIGIN, Ended
from tests.examples import KEYS, USERS, examples
from tests.worlds import KEYLESS, NOW, STORES, UNREADABLE, Feed, run, user

from .small_process import SPEC, employee, feed_of, small_hr

# -- 1: absent is never inferred from unreadable -------------------------------------------------


@examples(100)
@example(
    loaded={"a"},
    there={"a"},
    broken={"a": UNREADABLE},
    hidden=set(),
    complete=True,
    answered=True,
    earlier=set(),
)
@example(
    loaded={"a"},
    there={"a"},
    broken={},
    hidden={"a"},
    complete=True,
    answered=True,
    earlier=set(),
)
@example(
    # It answers when it is asked for by key, and its key cannot be read.
    loaded={"a"},
    there={"a"},
    broken={"a": KEYLESS},
    hidden={"a"},
    complete=True,
    answered=True,
    earlier=set(),
)
@given(
    loaded=st.sets(KEYS, min_size=1),
    there=st.sets(KEYS),
    broken=st.dictionaries(KEYS, st.sampled_from([UNREADABLE, KEYLESS])),
    hidden=st.sets(KEYS),
    complete=st.booleans(),
    answered=st.booleans(),
    earlier=st.sets(KEYS),
)
def test_law_1_absent_is_never_inferred_from_unreadable(
    loaded: set[str],
    there: set[str],
    broken: dict[str, str],
    hidden: set[str],
    complete: bool,
    answered: bool,
    earlier: set[str],
) -> None:
    """A sweep takes for gone only what is not there, and nothing at all if anything about its
    reading is in doubt.

    What earlier sweeps have found gone is not asked for again: it comes back when it is read.
    """
    earlier = (earlier & loaded) - there
    feed = Feed(
        {key: user(key) for key in sorted(there)},
        {k: v for k, v in broken.items() if k in there},
        complete,
        hidden,
    )
    store: Any = SimpleNamespace(
        origin=lambda _: of(ORIGIN, [(key, f"E-{key}") for key in sorted(loaded)]),
        gone=lambda _: sorted(earlier),
    )
    whole = sweep_part(feed, SPEC, None)
    feed.complete = answered
    merged, gone, known = verify(feed, store, SPEC, whole)
    found, again = set(strings(gone)), set(strings(known))
    assert found <= loaded - there - earlier
    doubt = not complete or any(
        state == KEYLESS for key, state in feed.broken.items() if key not in hidden
    )
    assert again == (set() if doubt else earlier)
    keyless = any(
        state == KEYLESS for key, state in feed.broken.items() if key not in hidden or key in loaded
    )
    if keyless or not complete:
        assert found == set()
    elif answered:
        assert found == loaded - there - earlier, (
            "what is gone is found, or the property would say nothing"
        )
    readable = there - set(feed.broken)
    assert set(strings(merged.frame["id"])) == {
        key for key in readable if key not in hidden or key in loaded
    }


@pytest.mark.parametrize("whole", [False, True])
def test_law_1_a_field_that_hr_does_not_show_is_not_taken_for_emptied(whole: bool) -> None:
    """An HR system that leaves out what the service user may not see would be written to for
    everybody."""
    feed, store, hr = Feed({f"u{n}": user(f"u{n}") for n in range(3)}), STORES.fresh(), small_hr()
    run(SPEC, feed, hr, store)
    before, read = hr.tables["employees"], hr.read
    hr.read = lambda entity, columns, lookups: replace(
        read(entity, columns, lookups), vanished=("surname",)
    )  # type: ignore[method-assign]
    feed.records["u1"]["surname"] = "Other"
    with pytest.raises(Misconfigured, match=r"does not show employees\.surname"):
        run(SPEC, feed, hr, store, Order(sweep=whole, full=not whole))
    assert hr.tables["employees"].equals(before)


# -- 2: closing comes from an explicit status or a complete sweep --------------------------------


@examples(60)
@given(
    users=USERS,
    linked=st.dictionaries(KEYS, st.sampled_from(["Enabled", "Inactive"])),
    others=st.sets(st.sampled_from("xyz")),
)
def test_law_2_a_window_closes_only_what_it_has_seen_leave(
    users: dict[str, dict[str, Any]], linked: dict[str, str], others: set[str]
) -> None:
    """Whatever HR holds and whatever part of the feed came: rows that did not come are left
    alone."""
    rows = [employee(f"E-{key}", key, status=status) for key, status in linked.items()] + [
        employee(key, None) for key in sorted(others)
    ]
    links = of(LINKS, [(key, f"E-{key}") for key in linked])

    def known(_: str, source_keys: Any = None, target_keys: Any = None) -> pd.DataFrame:
        if source_keys is None and target_keys is None:
            return links
        chosen = links["source_key"].isin(source_keys or []) | links["target_key"].isin(
            target_keys or []
        )
        return links[chosen.to_numpy(dtype=bool)].reset_index(drop=True)

    store: Any = SimpleNamespace(
        links=known, origin=lambda _: links.set_axis(list(ORIGIN), axis=1), salt=lambda: b""
    )
    read = sweep_part(feed_of(users), SPEC, None)
    comparison = Comparison.of(
        SPEC,
        small_hr(rows=rows),
        store,
        Moment(NOW.date(), NOW),
        NO_HASHES,
        Ended(),
        whole=False,
    )
    plan = compare(comparison, read, Marks(NO_HASHES, NO_HASHES, NO_HASHES)).plan
    closed = set(plan.changes.loc[plan.changes["kind"] == "close", "key"])
    left = {key for key, values in users.items() if values["status"] == "Inactive"}
    assert closed == {f"E-{key}" for key in left & linked.keys() if linked[key] != "Inactive"}
    touched = set(plan.changes["key"])
    assert (
        touched
        <= {f"E-{key}" for key in users}
        | {f"AP-{key}" for key in users}
        | {f"E-{key}" for key in linked if key in users}
        | others
    )

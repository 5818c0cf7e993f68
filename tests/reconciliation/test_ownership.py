"""Two owners of a field: decided by what was agreed, never by a coin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.frame import of
from reconciliation.ownership import AGREED, CONFLICT, decide
from reconciliation.spec import FieldMap, MatchRule, ProcessSpec
from tests.examples import examples

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
VALUES = st.sampled_from([None, "a", "b", "c"])


def spec(
    owner: str, conflict: str = "newest", first: str = "source", clears: bool = True
) -> ProcessSpec:
    return ProcessSpec(
        name="p",
        title="P",
        pair="pair",
        conflict=conflict,  # type: ignore[arg-type]
        first=first,  # type: ignore[arg-type]
        feed="User",
        entity="employees",
        entity_key="k",
        target_updated="written_at",
        match=(MatchRule(source="id", target="v"),),
        fields=(FieldMap(source="x", target="v", owner=owner, clears=clears),),  # type: ignore[arg-type]
    )


def decided(
    of_this: ProcessSpec,
    ours: str | None,
    theirs: str | None,
    agreed: tuple[str | None] | None,
    newer: bool | None,
) -> tuple[str | None, bool, str | bool | None]:
    """(the value that will be, held, what is agreed anew: False for nothing)."""
    data = of(
        {"id": "text", "x": "text", "updated_at": "moment"},
        [("r", ours, NOON if newer is not None else None)],
    )
    wanted = of({"source_key": "text", "k": "text", "v": "text"}, [("r", "row", ours)])
    moment = NOON + timedelta(minutes=-1 if newer else 1)
    target = of({"k": "text", "v": "text", "written_at": "moment"}, [("row", theirs, moment)])
    known = of(AGREED, [("r", "x", agreed[0])] if agreed else [])
    found = decide(of_this, data, wanted, target, known)
    held = found.held["reason"].tolist() == [CONFLICT]
    value = (
        theirs
        if held
        else found.wanted["v"].astype(object).where(found.wanted["v"].notna(), None).tolist()[0]
    )
    fresh = found.agreed["value"].astype(object).where(found.agreed["value"].notna(), None).tolist()
    return value, held, fresh[0] if fresh else False


@examples(120)
@given(
    ours=VALUES,
    theirs=VALUES,
    before=VALUES,
    newer=st.none() | st.booleans(),
    conflict=st.sampled_from(["newest", "hold"]),
)
def test_law_4_the_newest_value_counts_and_a_conflict_is_never_a_coin_toss(
    ours: str | None, theirs: str | None, before: str | None, newer: bool | None, conflict: str
) -> None:
    value, held, fresh = decided(spec("newest", conflict), ours, theirs, (before,), newer)
    we, they = ours != before, theirs != before
    if ours == theirs:
        assert (value, held) == (theirs, False)
    elif we and they:
        assert held == (conflict == "hold" or newer is None)
        assert held or value == (ours if newer else theirs)
    else:
        assert (value, held) == ((ours if we else theirs), False)
    if fresh is not False:
        assert fresh == value == ours, "agreed is what both will have"
    if not held and value == ours != before:
        assert fresh == ours


@examples(60)
@given(ours=VALUES, theirs=VALUES, before=st.none() | st.tuples(VALUES))
def test_law_4_what_a_side_owns_the_other_never_overwrites(
    ours: str | None, theirs: str | None, before: tuple[str | None] | None
) -> None:
    assert decided(spec("target"), ours, theirs, before, True)[:2] == (
        (theirs if theirs is not None else ours),
        False,
    )
    assert decided(spec("source", clears=False), ours, theirs, before, False)[:2] == (
        (ours if ours is not None else theirs),
        False,
    )


@pytest.mark.parametrize(
    ("first", "newer"), list(product(["source", "target", "newest", "hold"], [True, False, None]))
)
def test_the_first_contact_goes_as_declared(first: str, newer: bool | None) -> None:
    of_this = spec("newest", first=first)
    value, held, _ = decided(of_this, "a", "b", None, newer)
    expected = {
        "source": "a",
        "target": "b",
        "newest": None if newer is None else "a" if newer else "b",
        "hold": None,
    }[first]
    assert held == (expected is None)
    assert held or value == expected
    assert decided(of_this, "a", None, None, newer)[:2] == ("a", False), "a value fills the place"
    assert decided(of_this, None, "b", None, newer)[:2] == ("b", False)

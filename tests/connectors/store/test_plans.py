"""Plans that are kept until somebody decides on them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from reconciliation.errors import StalePlan
from reconciliation.watermark import Watermark

from .settling import NOW, SPEC, count, employee, keep, leased, make_draft, make_plan


def test_nobody_rejects_or_forgets_while_a_plan_is_applied(store: SyncStore) -> None:
    draft = make_draft(replace(make_plan([employee("A", "a")]), salt=store.salt()))
    digest, later = draft.compared.plan.digest, NOW + timedelta(hours=1)
    store.keep_draft(draft, "made", NOW, None, later)
    with leased(store, "r1"):
        store.take_plan(digest, SPEC, "r1")
        assert not store.close_plan(digest, "rejected")
        with pytest.raises(StalePlan, match="is being applied"):
            store.forget("a", [], NOW)
        assert store.draft(digest).compared.plan.digest == digest
    with leased(store, "r2"):
        store.take_plan(digest, SPEC, "r2")
    assert store.close_plan(digest, "rejected"), (
        "the run that was applying it has ended without having done so"
    )
    with leased(store, "r3"), pytest.raises(StalePlan, match="was rejected"):
        store.take_plan(digest, SPEC, "r3")


def test_a_draft_comes_back_as_it_was(store: SyncStore) -> None:
    plan = replace(
        make_plan([employee("E1", "u1", "Fox")], [employee("E1", "u1")]), salt=store.salt()
    )
    mark = Watermark(NOW, date(2026, 11, 23), False)
    draft = make_draft(
        plan, mark, retried=("k",), looked_again=True, drift=(("User.Fax", "appeared"),)
    )
    digest = keep(store, draft)
    back = store.draft(digest)
    assert (
        back.spec,
        back.before,
        back.after,
        back.report,
        back.retried,
        back.looked_again,
        back.whole,
        back.drift,
    ) == (
        draft.spec,
        draft.before,
        draft.after,
        draft.report,
        ("k",),
        True,
        False,
        (("User.Fax", "appeared"),),
    )
    assert back.compared.plan.changes.equals(plan.changes)
    assert back.compared.plan.before.equals(plan.before)
    for name in ("rejected", "outside", "pairs", "held", "links", "gone"):
        assert getattr(back.compared, name).dtypes.equals(getattr(draft.compared, name).dtypes)
    assert store.waiting(SPEC.name, SPEC.fingerprint(), NOW) == (digest, "f1")
    assert store.waiting(SPEC.name, SPEC.fingerprint(), NOW + timedelta(hours=25)) is None, (
        "it has timed out"
    )
    assert [d["digest"] for d in store.drafts()] == [digest]


@pytest.mark.parametrize("status", ["rejected", "stale"])
def test_a_draft_is_decided_on_once(store: SyncStore, status: Any) -> None:
    digest = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    store.close_plan(digest, status)
    with pytest.raises(StalePlan, match=f"is already {status}"):
        store.draft(digest)
    assert store.drafts() == []
    assert count(store, t.plan_part) == 0
    with pytest.raises(StalePlan, match="There is no plan feed"):
        store.draft("feed")


def test_a_newer_draft_takes_the_place_of_one_that_waits(store: SyncStore) -> None:
    old = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    new = keep(store, make_draft(make_plan([employee("E1", "u1", "Fox")])), None)
    assert [d["digest"] for d in store.drafts()] == [new]
    with pytest.raises(StalePlan, match="is already stale"):
        store.draft(old)


def test_a_tampered_plan_is_refused(store: SyncStore) -> None:
    from connectors.store.base import packed

    digest = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    other = make_plan([employee("E1", "u1", "Mallory")])
    with store.engine.begin() as connection:
        connection.execute(t.plan.update().values(changes=packed(other.changes)))
    with pytest.raises(StalePlan, match="has been altered"):
        store.draft(digest)


def test_a_plan_of_another_release_is_refused_with_a_sentence(store: SyncStore) -> None:
    plan = replace(make_plan([employee("E1", "u1")]), salt=store.salt())
    digest = keep(store, make_draft(plan))
    with store.engine.begin() as connection:
        kept = connection.execute(sa.select(t.plan.c.draft)).scalar_one()
        spec = kept["spec"] | {"award_states": True}
        connection.execute(t.plan.update().values(draft=kept | {"spec": spec}))
    with pytest.raises(StalePlan, match="another release"):
        store.draft(digest)

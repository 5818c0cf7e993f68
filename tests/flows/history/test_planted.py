"""Discrepancies that were planted are found, explained and repaired; nothing is invented."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.history import causes
from reconciliation.history import classes as c
from tests.sides import Side
from tests.to_hr import both, sandbox_sql

from .plants import WHOLE, Plants, ask, repair, spec_of, verdicts

KINDS = [
    name
    for name, value in vars(Plants).items()
    if callable(value) and name not in ("__init__", "one", "hr", "source", "new_record")
]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_discrepancies_of_twelve_kinds_are_found_explained_and_repaired(
    make_side: Callable[..., Side], dialect_name: str
) -> None:
    if WHOLE and dialect_name == "awkward":
        pytest.skip("the awkward dialect has been looked at in the small")
    side = make_side(size=52_000 if WHOLE else 600, hourly_limit=10**6)
    both(side)
    before = ask(side)
    assert verdicts(before) == {}, "nothing is invented"
    plants = Plants(side, seed=11)
    assert len(KINDS) == 12
    for kind in [*KINDS * 3, *KINDS[:4]]:
        getattr(plants, kind)()
    # A renewal is seen twice: at the new record, and at the old one whose place it takes.
    assert len(plants.expected) == 40 + KINDS.count("renewed") * 3
    if side.dialect.date_updated is None:
        # Without the moment of the last change nobody can tell what was late from what went
        # unnoticed.
        plants.expected = {
            k: (v[0], "late by watermark" if v[1] == "changed unnoticed" else v[1])
            for k, v in plants.expected.items()
        }
    found = ask(side, partition=1000 if not WHOLE else 60_000)
    assert verdicts(found) == plants.expected
    if WHOLE:
        assert len(found.findings.rows) >= 200_000
    digest = repair(side, found)
    assert ask(side).findings.counts() == found.findings.counts(), (
        "nothing is written before somebody has approved"
    )
    spec = spec_of(side, "awards_to_hr")
    mark = side.store.watermark(spec.name, spec.fingerprint())
    assert mark.moment or side.dialect.date_updated is None
    run_process(spec, side.world(spec), Order(approve=digest), call=plainly)
    left = verdicts(ask(side))
    assert set(left.values()) <= {
        ("missing in HR", causes.UNLINKED),
        (c.QUARANTINED, "completed_on is not an ISO date"),
    }, "these are for people"
    # Who can, does what the report says: mends the records, and gives the others to somebody who is
    # in HR.
    person = side.rows("awards")[0]["accessplanit_user_id"]
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "UserID" = ?, "AwardID" = "ID" WHERE "UserID" = \'nobody-yet\'',
        person,
    )
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "Passed" = \'2026-01-01T00:00:00.000\' WHERE "Passed" = \'31 '
        "of never'",
    )
    again = ask(side)
    run_process(spec, side.world(spec), Order(approve=repair(side, again)), call=plainly)
    assert verdicts(ask(side)) == {}, "the second report is clean"
    assert side.store.watermark(spec.name, spec.fingerprint()) == mark
    assert side.awards(Order(sweep=True)).written == 0, "and a sweep agrees"


def test_every_process_of_a_healthy_system_is_right(side: Side) -> None:
    for name, chosen in PROCESSES.items():
        if name != "role_compliance":
            side.run(chosen.scoped())
    for name in PROCESSES:
        if name != "role_compliance":
            found = ask(side, name)
            assert verdicts(found) == {}, name
            needs = found.findings.needs()
            assert needs["nothing"] > 0, name
            assert sum(needs.values()) == len(found.findings.rows)

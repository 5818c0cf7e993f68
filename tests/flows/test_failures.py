"""Crashes, refusals and reads that were not complete: nothing is lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows import awards_to_hr, users_to_hr
from flows._run import Order, plainly, run_process
from reconciliation.errors import Defect, TargetFailed
from reconciliation.frame import of
from reconciliation.receipts import RECEIPTS
from sandbox.faults import Faults
from tests.sides import Side


class Breaking:
    """A target that fails where it is told to, once."""

    def __init__(self, side: Side, where: str) -> None:
        self._inner, self._where = side.target, where
        self.name, self.batch = side.target.name, side.target.batch

    def population(self, entity: str) -> int:
        return self._inner.population(entity)

    def read(self, *args: Any) -> Any:
        return self._inner.read(*args)

    def rejections(self, *args: Any) -> Any:
        return self._inner.rejections(*args)

    def apply(self, entity: str, changes: Any) -> Any:
        if self._where == "before":
            raise TargetFailed("The HR database cannot be used (test)", "No action needed.")
        if self._where == "half":
            self._inner.apply(entity, changes.iloc[: len(changes) // 2])
            raise MemoryError("Surname of somebody")
        receipts = self._inner.apply(entity, changes)
        if self._where == "after":
            raise KeyboardInterrupt
        if self._where == "refuse":
            rows = [
                (k, "failed" if i % 7 == 0 else o, "refused" if i % 7 == 0 else None, None)
                for i, (k, o) in enumerate(zip(receipts["key"], receipts["outcome"], strict=True))
            ]
            return of(RECEIPTS, rows)
        return receipts


@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_a_crash_while_loading_loses_and_doubles_nothing(side: Side, where: str) -> None:
    for spec in (users_to_hr.SPEC, awards_to_hr.SPEC):
        world = side.world()
        broken = type(world)(world.source, Breaking(side, where), world.store, world.zone)
        with pytest.raises((TargetFailed, Defect, KeyboardInterrupt)) as caught:
            run_process(spec, broken, Order(), call=plainly)
        assert "somebody" not in str(caught.value), (
            "an unforeseen exception's text may hold personal data"
        )
        assert side.store.watermark(spec.name, spec.fingerprint()).moment is None
        assert side.store.runs(1)[0]["outcome"] == "failed"
        side.run(spec)
    assert side.differences() == []


def test_a_row_that_hr_refuses_is_quarantined_and_tried_again(side: Side) -> None:
    world = side.world()
    refusing = type(world)(world.source, Breaking(side, "refuse"), world.store, world.zone)
    report, _ = run_process(users_to_hr.SPEC, refusing, Order(), call=plainly)
    assert report.adds_up()
    assert (
        report.outcomes["failed"]
        == len([e for e in side.store.quarantined() if e["stage"] == "failed"])
        > 0
    )
    for _ in range(2):
        side.users()
    side.awards()
    assert side.differences() == []
    assert [e for e in side.store.quarantined() if e["stage"] == "failed"] == []


def test_a_read_that_was_not_complete_does_not_move_the_watermark(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(330)
    side.dialect = side.dialect.model_copy(update={"page_size": 40})
    side.sandbox.faults = Faults(rate=1.0, kinds=("shift",))
    report = side.users()
    assert not report.complete
    assert report.watermark_after is None
    side.sandbox.faults = Faults()
    side.users()
    side.awards()
    assert side.differences() == []

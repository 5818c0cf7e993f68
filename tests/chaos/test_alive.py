"""Killed or interrupted at any moment, ``hrsync up`` goes on at its next start as if nothing had
happened.

``make chaos`` kills it at twenty moments and interrupts it at twenty. In the suite
``tests/flows/local/test_up.py`` kills it once.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.completion import completes, nothing_is_held
from tests.quick_start import QuickStart, mentioning
from tests.verify_hr import compare

pytestmark = [pytest.mark.slow, pytest.mark.prefect, pytest.mark.timeout(5400)]
WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"
MOMENTS = int(os.environ.get("HRSYNC_CHAOS_MOMENTS", "20"))
SEED = int(os.environ.get("HRSYNC_CHAOS_SEED", "7"))


@pytest.fixture
def quick() -> Iterator[QuickStart]:
    with tempfile.TemporaryDirectory() as folder:
        made = QuickStart(Path(folder) / "home", tick_seconds=3)
        yield made
        if made.process.poll() is None:
            made.kill()


def disturbed(quick: QuickStart, how: str, dice: random.Random) -> None:
    """One stop at a random moment: every second time while it comes up, else while it runs."""
    quick.start()
    coming_up = bool(dice.getrandbits(1))
    if not coming_up:
        print(
            f"{how}: every flow had completed {completes(quick):.0f} s after the start", flush=True
        )
    time.sleep(dice.uniform(0, 60) if coming_up else dice.uniform(0, 15))
    if how == "kill":
        quick.kill()
    else:
        quick.interrupt(signal.SIGINT)
    assert mentioning(str(quick.home)) == [], "nothing stays behind"


@pytest.mark.skipif(not WHOLE, reason="make chaos")
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_stopped_at_any_moment_it_goes_on_at_the_next_start(quick: QuickStart, how: str) -> None:
    dice = random.Random(SEED)
    for _ in range(MOMENTS):
        disturbed(quick, how, dice)
    quick.tick_seconds = 3600
    quick.start()
    print(
        f"{how}: every flow had completed {completes(quick):.0f} s after the last start", flush=True
    )
    nothing_is_held(quick)
    quick.interrupt()
    today = datetime.now(ZoneInfo("Europe/London")).date()
    assert compare(str(quick.home / "sandbox.db"), str(quick.home / "hr.db"), today) == [], (
        "HR is as if nothing had happened"
    )

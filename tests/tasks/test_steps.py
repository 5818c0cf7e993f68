"""The steps of a run as Prefect tasks."""

from __future__ import annotations

import pytest

from tasks.steps import in_prefect, plainly, step


def double(number: int) -> int:
    return 2 * number


def test_a_step_that_was_not_made_a_task_is_an_error() -> None:
    """It would run without its task, and nobody would notice."""
    with pytest.raises(LookupError, match=r"double .*STEPS"):
        in_prefect(double, 2)
    assert plainly(double, 2) == 4
    assert plainly(step("double")(double), 2) == 4

"""How commands end, and lists that are cut."""

from __future__ import annotations

import pytest
import typer
from prefect.states import Completed, Failed

from flows.console.terminal import end, more


def test_every_run_is_reported_and_one_failure_is_enough_for_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    states = [Completed(message="first"), Failed(message="second"), Completed(message="third")]
    with pytest.raises(typer.Exit) as ended:
        end(*states)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert said.out.split() == ["first", "third"]
    assert "second" in said.err
    end(states[0], states[2])


@pytest.mark.parametrize(("rows", "cut"), [(2, False), (3, True)])
def test_a_list_that_is_cut_says_so(
    capsys: pytest.CaptureFixture[str], rows: int, cut: bool
) -> None:
    more(range(rows), 2)
    assert ("--limit" in capsys.readouterr().out) == cut

"""The console script: what is wrong when the flows are imported is one sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flows import start
from flows.users_to_hr import SPEC
from reconciliation.errors import Misconfigured
from reconciliation.spec import ProcessSpec


def wrong_mapping() -> None:
    raise Misconfigured("people.toml is invalid: fields: x", "Correct it.")


def an_owner_in_a_mapping_that_goes_one_way() -> None:
    ProcessSpec.model_validate(SPEC.model_dump() | {"pair": None, "opposite": None})


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (wrong_mapping, "Misconfigured: people.toml is invalid: fields: x. Correct it."),
        (
            an_owner_in_a_mapping_that_goes_one_way,
            "only a process with a pair can have an owner other than 'source' (fields: ",
        ),
    ],
)
def test_a_mistake_in_a_mapping_is_told_without_a_traceback(
    fails: Callable[[], None],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(start, "_command_line", fails)
    monkeypatch.setattr("gc.disable", lambda: None)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("Misconfigured: ")
    assert says in told
    assert told.count("\n") == 1

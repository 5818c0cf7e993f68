"""What a value says, or why it is refused; and custom fields as text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.values import READERS, decoded, encoded
from tests import odd_values as odd
from tests.odd_tables import BY_KIND
from tests.odd_values import No


def test_there_are_enough_of_them() -> None:
    assert sum(map(len, BY_KIND.values())) + len(odd.LISTS) >= 150


@pytest.mark.parametrize("kind", BY_KIND)
def test_law_9_a_cell_is_its_value_or_a_rejected_row(kind: str) -> None:
    for said, meant in BY_KIND[kind]:
        if isinstance(meant, No):
            with pytest.raises(ValueError, match=meant.because):
                READERS[kind](said)
        else:
            found = READERS[kind](said)
            assert _same(found, meant), (said, found)


def _same(found: Any, meant: Any) -> bool:
    if isinstance(meant, datetime) and isinstance(found, datetime) and found.tzinfo is None:
        meant = meant.replace(tzinfo=None)
    return bool(found == meant) and isinstance(found, bool) == isinstance(meant, bool)


CUSTOM = st.recursive(
    st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))
    | st.sampled_from(["7", "-1.5", "1e3", "true", "null", "[1]", '"x"', "{}", "NaN"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(CUSTOM)
def test_law_5_the_text_of_a_custom_field_has_its_value_back(value: Any) -> None:
    meant = value.strip() if isinstance(value, str) else value
    found = decoded(encoded(value))
    assert found == (meant if meant not in ("", []) else None)

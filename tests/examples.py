"""How many examples a property tries, and the people that properties draw."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("HRSYNC_LAWS", "0"))
"""Examples of each law in ``make laws``."""
SHARE = 1 if os.environ.get("HRSYNC_MUTANTS") else 3
"""``make mutants`` tries all examples, so that each mistake is found; an ordinary run every
third."""


def share(thorough: int) -> int:
    """A third of ``thorough`` in an ordinary run, all of it in ``make mutants``."""
    return -(-thorough // SHARE)


def examples(thorough: int) -> Any:
    """A share of ``thorough`` examples; 10,000 in ``make laws``, or as many as it is told."""
    return settings(
        max_examples=MANY or share(thorough),
        deadline=None,
        # What takes a second an example is not worth an hour of making it smaller.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )


KEYS = st.sampled_from("abcdefgh")
USERS = st.dictionaries(
    KEYS,
    st.fixed_dictionaries(
        {
            "surname": st.sampled_from(["Lee", "Fox", "Ash"]),
            "status": st.sampled_from(["Enabled", "Enabled", "Enabled", "Inactive"]),
            "email": st.none() | st.sampled_from(["a@x", "b@x"]),
            "at": st.integers(0, 3),
        }
    ),
    max_size=6,
)

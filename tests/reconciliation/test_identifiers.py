"""An identifier has one spelling, and is found however it is written."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.frame import strings
from reconciliation.identifiers import identifier, identifiers, mentioned, spellings
from reconciliation.tables import texts


def test_a_record_that_cannot_be_read_is_searched_as_identifiers_are_compared() -> None:
    raw = json.dumps({"Email": "JOSE\u0301@x.example", "Number": 12, "Names": ["Ana"]})
    is_named = mentioned([raw, "E7;broken; Kay@X.example"])
    assert all(
        is_named(text) for text in ("jos\u00e9@x.example", "12", "ana ", "e7", "kay@x.example")
    )
    assert not any(is_named(text) for text in ("1", "ose@x.example", "E8"))


@settings(deadline=None)
@given(st.text(max_size=12))
def test_an_identifier_has_one_spelling(text: str) -> None:
    once = identifier(text)
    assert identifier(once) == once
    assert {identifier(way) for way in spellings(text)} <= {once}
    assert identifier(unicodedata.normalize("NFD", text)) == identifier(
        unicodedata.normalize("NFC", text)
    )
    assert strings(identifiers(texts([text, None]))) == [once or None, None]

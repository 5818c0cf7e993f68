"""Says in plain words why pydantic refused a value, without the value itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_pattern_mismatch": "is not written in the right form",
    "string_too_long": "has more than {max_length} characters",
    "too_long": "has more than {max_length} characters or items",
    "string_too_short": "has fewer than {min_length} characters",
    "literal_error": "is not one of {expected}",
    "enum": "is not one of {expected}",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "bool_type": "is not true or false",
    "bool_parsing": "is not true or false",
    "date_from_datetime_parsing": "is not a date",
    "datetime_from_date_parsing": "is not a date and time",
    "datetime_parsing": "is not a date and time",
    "list_type": "is not a list",
    "greater_than": "is not more than {gt}",
    "greater_than_equal": "is less than {ge}",
    "less_than": "is not less than {lt}",
    "less_than_equal": "is more than {le}",
}
"""Type of a pydantic error -> the words, completed with the error's context."""


def fault_of(error: ErrorDetails) -> str:
    """Returns why a value was refused. The words complete a sentence that begins with its name.

    A type of error that is not known here keeps pydantic's message, which has no value in it.
    """
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] in _FAULTS:
        return _FAULTS[error["type"]].format(**context)
    return error["msg"].removeprefix("Value error, ")

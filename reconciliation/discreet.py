"""Strips unforeseen errors of their messages: a KeyError or a database driver may name a person."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from .errors import Defect, HrsyncError

P = ParamSpec("P")
R = TypeVar("R")


def without_data(error: Exception) -> Defect:
    """Returns a :class:`Defect` with the type of the error and the place in our code, without its
    message."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if "site-packages" not in frame.filename]
    where = f"{places[-1].filename.rsplit('/', 1)[-1]}:{places[-1].lineno}"
    return Defect(
        f"An unforeseen {type(error).__name__} at {where}",
        "Report it with this line. Nothing was lost: the next run begins where this one did.",
    )


def discreet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that replaces unforeseen exceptions by ones without data. Our own errors
    (:class:`HrsyncError`) hold none and pass through."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except HrsyncError:
            raise
        except Exception as error:
            raise without_data(error) from None

    return called

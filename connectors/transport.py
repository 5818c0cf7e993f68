"""httpx transports with retries and a request budget, for every HTTP connector.

The layers, outermost first: retries (httpx-retries: Retry-After, or a growing pause with jitter),
request budget, network. Retries count against the budget.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import httpx
from httpx_retries import Retry, RetryTransport

log = logging.getLogger("hrsync.http")
# httpx logs whole URLs, and a $filter can hold an e-mail address. These records are dropped at
# every log level.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)

RETRIED = (429, 500, 502, 503, 504)
"""The statuses after which a request is sent again."""


@cache
def certificate_authorities() -> ssl.SSLContext:
    """Loads the certificate authorities. Cached, because it takes tens of milliseconds."""
    return httpx.create_ssl_context()


def network(**options: Any) -> httpx.HTTPTransport:
    """Returns a transport of httpx that shares the certificate authorities."""
    return httpx.HTTPTransport(verify=certificate_authorities(), **options)


class Budget(Protocol):
    """Requests per hour and endpoint, shared by all runs."""

    def take(self, endpoint: str) -> float:
        """0 if a request may be made now, else the seconds until the next one may."""

    def close(self) -> None:
        """Gives back the requests that were reserved and not used."""


class BudgetTransport(httpx.BaseTransport):
    """Answers 429 with Retry-After when the budget is used up. The retries around it then wait.

    A run that needs more than an hour's requests takes several hours instead of failing.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        budget: Budget,
        endpoint_of: Callable[[httpx.Request], str],
    ) -> None:
        self._inner, self._budget, self._endpoint_of = inner, budget, endpoint_of
        self._lock = threading.Lock()
        self.made = 0
        """Requests that went to the network, including retries."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wait = self._budget.take(self._endpoint_of(request))
        if wait > 0:
            log.info(
                "the request budget of %s is used up; waiting %.0f s",
                self._endpoint_of(request),
                wait,
            )
            return httpx.Response(
                429, headers={"Retry-After": str(max(1, round(wait)))}, request=request
            )
        with self._lock:
            self.made += 1
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()
        self._budget.close()


def posting(attempts: int, backoff: float, *, safe: bool) -> Retry:
    """The retries of one POST, given as the request's extension ``retry``.

    ``safe``: repeating the request does no harm, so it is retried like a GET. Any other POST is
    retried only if the server surely did not carry it out.
    """
    if safe:
        return _retries(attempts, backoff, ["POST"], RETRIED, None)
    surely_not = (httpx.ConnectError, httpx.ConnectTimeout)
    return _retries(attempts, backoff, ["POST"], (429,), surely_not)


def retrying(
    inner: httpx.BaseTransport, attempts: int, backoff: float, *, post: bool = False
) -> RetryTransport:
    """``inner`` with retries after connection errors, time-outs, cut bodies and the statuses
    :data:`RETRIED`.

    Our PATCHes set values, so repeating them is safe. A POST is retried only if ``post`` is true,
    or as its extension ``retry`` says.
    """
    methods = ["GET", "PUT", "PATCH", "DELETE", *(["POST"] if post else [])]
    return RetryTransport(inner, _retries(attempts, backoff, methods, RETRIED, None))


def _retries(
    attempts: int,
    backoff: float,
    methods: Sequence[str],
    statuses: Sequence[int],
    errors: Sequence[type[httpx.HTTPError]] | None,
) -> Retry:
    """``errors``: those that are retried; ``None`` is all that httpx-retries counts as passing."""
    return Retry(
        total=attempts,
        allowed_methods=methods,
        status_forcelist=statuses,
        retry_on_exceptions=errors,
        backoff_factor=backoff,
        backoff_jitter=1.0,
        max_backoff_wait=3600.0,
        validate_response=_read_body,
    )


def _read_body(response: httpx.Response) -> None:
    """Reads the body within the retries, so that an answer that breaks off is asked for again."""
    response.read()

"""httpx transports and their settings, for every HTTP connector.

Order, from the outside: retry (httpx-retries: table, Retry-After, backoff with jitter) → request
budget → network. A retry is a request like any other and is paid from the budget.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import httpx
from httpx_retries import Retry, RetryTransport

log = logging.getLogger("hrsync.http")
# httpx logs whole URLs, and a $filter can hold an e-mail address: dropped whatever level somebody
# sets.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)

RETRIED = (429, 500, 502, 503, 504)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def network(**options: Any) -> httpx.HTTPTransport:
    """A transport of httpx. Reading all certificate authorities takes longer than many a run: a
    process does it once."""
    return httpx.HTTPTransport(verify=_tls(), **options)


class Budget(Protocol):
    """Requests per hour and endpoint, shared by all runs."""

    def take(self, endpoint: str) -> float:
        """0 if a request may be made now, else the seconds until the next one may."""

    def close(self) -> None:
        """Gives back what was taken from the others and not used."""


class BudgetTransport(httpx.BaseTransport):
    """Answers 429 with Retry-After itself when the budget is used up, so that the retry around it
    waits.

    A run that needs more than an hour's requests is spread over the hours instead of failing.
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
        """Requests that went to the network, retries among them."""

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


def _whole(response: httpx.Response) -> None:
    """Reads the body while a retry is still possible: a connection cut in mid-body is retried like
    one never made."""
    response.read()


def posting(attempts: int, backoff: float, *, safe: bool) -> Retry:
    """The retries of one POST (the request's extension ``retry``): of what was surely not carried
    out, and of anything where repeating does no harm (``safe``)."""
    surely_not = (httpx.ConnectError, httpx.ConnectTimeout)
    return Retry(
        total=attempts,
        allowed_methods=["POST"],
        status_forcelist=RETRIED if safe else (429,),
        retry_on_exceptions=None if safe else surely_not,
        backoff_factor=backoff,
        backoff_jitter=1.0,
        max_backoff_wait=3600.0,
    )


def retrying(
    inner: httpx.BaseTransport, attempts: int, backoff: float, *, post: bool = False
) -> RetryTransport:
    """``inner`` with retries: connection errors, time-outs, cut bodies and the statuses
    :data:`RETRIED`.

    Our PATCHes set values, so that repeating them does no harm; POST is retried only where
    repeating it does no harm (``post``).
    """
    methods = ["GET", "PUT", "PATCH", "DELETE", *(["POST"] if post else [])]
    retry = Retry(
        total=attempts,
        allowed_methods=methods,
        status_forcelist=RETRIED,
        backoff_factor=backoff,
        backoff_jitter=1.0,
        max_backoff_wait=3600.0,
        validate_response=_whole,
    )
    return RetryTransport(transport=inner, retry=retry)

"""Verifies and reads accessplanit's webhooks. The format of their bodies is not public; the only
assumption is that they hold a record's ID.

The ID is searched in the path after the subscription (``/webhooks/user/jasmit``), in the query
(``?id=jasmit``) and in a JSON body: an object with ``ID`` (in upper or lower case), a list of such
objects, or ``{"results": [...]}``. Of the body's other fields only the date of the last change is
looked at: whether it has a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from ..settings import WebhookSettings
from ..webhooks import Arrival, Delivery, Forged, Unreadable, digest, signed, timely, usable

MOST = 1000
"""Maximum number of records in one delivery."""


class AccessplanitWebhooks:
    """Implements :class:`connectors.webhooks.Sender`.

    Raises:
        ValueError: no check of deliveries is configured.
    """

    def __init__(
        self, settings: WebhookSettings, feeds: Iterable[str], date_updated: str | None
    ) -> None:
        if not settings.guarded:
            raise ValueError("a receiver without a secret would accept forged deliveries")
        self.settings = settings
        self._feeds = {feed.lower(): feed for feed in feeds}
        self._updated = (date_updated or "").lower()

    def subscriptions(self) -> Mapping[str, str]:
        """Maps each feed's name in lower case to the feed."""
        return self._feeds

    def screen(self, headers: Mapping[str, str]) -> None:
        """Checks secret and credentials, so that a stranger's body is never read."""
        if failed := self.settings.proof.wanting(headers):
            raise Forged(failed[0])

    def verify(self, delivery: Delivery) -> None:
        """Runs every configured check. All run even if one fails, so that the time taken does not
        reveal which."""
        s, headers = self.settings, delivery.headers
        failed = s.proof.wanting(headers)
        if s.signing_key:
            stamp = headers.get(s.timestamp_header.lower(), "")
            if not signed(
                headers.get(s.signature_header.lower()), s.signing_key, _message(delivery, stamp)
            ):
                failed.append("signature")
            elif not timely(stamp, delivery.at, timedelta(seconds=s.tolerance_seconds)):
                failed.append("time")
        if failed:
            raise Forged(failed[0])

    def read(self, delivery: Delivery) -> Arrival:
        """Returns the records that the path, the query or the body names."""
        objects = _objects(delivery.body)
        candidates = [
            delivery.key,
            next((v for k, v in delivery.query.items() if k.lower() == "id"), None),
        ]
        candidates += [_value(one, "id") for one in objects]
        keys = list(dict.fromkeys(key for key in map(usable, candidates) if key is not None))
        if not keys:
            raise Unreadable(
                "No record's ID was found in the path, in the query, or in a JSON body (ID, or "
                "results with an ID each)."
            )
        if len(keys) > MOST:
            raise Unreadable(f"The delivery names more than {MOST} records.")
        feed = self._feeds[delivery.subscription]
        identity, once = self._identity(delivery, objects)
        return Arrival(
            delivery.subscription,
            delivery.method,
            tuple((feed, key) for key in keys),
            identity,
            once=once,
            deleted=delivery.method == "DELETE",
        )

    def _identity(self, delivery: Delivery, objects: list[Mapping[str, Any]]) -> tuple[str, bool]:
        """Returns :attr:`Arrival.identity` and :attr:`Arrival.once`.

        The identity is the sender's ID of the delivery or, without one, a digest of the whole
        delivery. That digest is unique for good if the delivery has a signed time, or if each of
        its records has a date of its last change.
        """
        # A gateway's signature does not cover the sender's ID, so a replayed delivery could carry
        # a new one.
        sender_id = (
            None
            if self.settings.signing_key
            else delivery.headers.get(self.settings.id_header.lower())
        )
        if sender_id:
            return digest(delivery.subscription, sender_id), True
        stamp = (
            delivery.headers.get(self.settings.timestamp_header.lower(), "")
            if self.settings.signing_key
            else ""
        )
        dated = bool(objects and self._updated) and all(
            _value(one, self._updated) for one in objects
        )
        query = json.dumps(sorted(delivery.query.items()))
        identity = digest(
            delivery.subscription, delivery.method, delivery.key or "", query, stamp, delivery.body
        )
        return identity, bool(stamp or dated)


def _message(delivery: Delivery, stamp: str) -> bytes:
    """Returns the bytes that a gateway signs: time, method, path with query, and body, separated by
    newlines.

    This is unambiguous: only the body, which is last, can hold a newline.
    """
    return b"\n".join(
        (
            stamp.encode("latin-1", "replace"),
            delivery.method.encode(),
            delivery.target,
            delivery.body,
        )
    )


def _objects(body: bytes) -> list[Mapping[str, Any]]:
    """Returns the JSON objects in a body, none if it is not JSON."""
    try:
        content = json.loads(body) if body.strip() else []
    except (ValueError, RecursionError):
        return []
    if isinstance(content, dict):
        results = _value(content, "results")
        content = results if isinstance(results, list) else [content]
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _value(record: Mapping[str, Any], name: str) -> Any:
    """Returns a field of a record by its lower-case name."""
    return next((value for key, value in record.items() if key.lower() == name), None)

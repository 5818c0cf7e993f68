"""accessplanit's webhooks. What their bodies hold is not public: all that is assumed is that a
record's ID can be found.

It is looked for in the path after the subscription (``/webhooks/user/jasmit``), in the query
(``?id=jasmit``) and in a JSON body: an object with ``ID`` (in any case), a list of such objects, or
``{"results": [...]}``. Nothing else of a body is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from ..settings import WebhookSettings
from ..webhooks import Arrival, Delivery, Forged, Unreadable, digest, signed, timely, usable

MOST = 1000
"""Records that one delivery may name."""


class AccessplanitWebhooks:
    """Implements :class:`connectors.webhooks.Sender`.

    Raises:
        ValueError: nothing is set by which a genuine delivery would be known.
    """

    def __init__(
        self, settings: WebhookSettings, feeds: Iterable[str], date_updated: str | None
    ) -> None:
        if not settings.guarded:
            raise ValueError("a receiver without a secret takes anything from anybody")
        self.settings = settings
        self._feeds = {feed.lower(): feed for feed in feeds}
        self._updated = (date_updated or "").lower()

    def subscriptions(self) -> Mapping[str, str]:
        """One for each module, by its name in lower case."""
        return self._feeds

    def screen(self, headers: Mapping[str, str]) -> None:
        """By the secret and the credentials: a stranger's body is not read."""
        if wrong := self.settings.proof.wanting(headers):
            raise Forged(wrong[0])

    def verify(self, delivery: Delivery) -> None:
        """All that is configured must hold, whatever the order: none of it tells how far it got."""
        s, headers = self.settings, delivery.headers
        wrong = s.proof.wanting(headers)
        if s.signing_key:
            stamp = headers.get(s.timestamp_header.lower(), "")
            if not signed(
                headers.get(s.signature_header.lower()), s.signing_key, _message(delivery, stamp)
            ):
                wrong.append("signature")
            elif not timely(stamp, delivery.at, timedelta(seconds=s.tolerance_seconds)):
                wrong.append("time")
        if wrong:
            raise Forged(wrong[0])

    def read(self, delivery: Delivery) -> Arrival:
        """The records that the path, the query or the body names."""
        objects = _objects(delivery.body)
        named = [
            delivery.key,
            next((v for k, v in delivery.query.items() if k.lower() == "id"), None),
        ]
        named += [_value(one, "id") for one in objects]
        keys = list(dict.fromkeys(key for key in map(usable, named) if key is not None))
        if not keys:
            raise Unreadable(
                "No record's ID was found in the path, in the query, or in a JSON body (ID, or "
                "results with an ID each)."
            )
        if len(keys) > MOST:
            raise Unreadable(f"More than {MOST} records are named.")
        feed = self._feeds[delivery.subscription]
        identity, once = self._identity(delivery, objects)
        return Arrival(
            delivery.subscription,
            delivery.method,
            tuple((feed, key) for key in keys),
            identity,
            once,
            delivery.method == "DELETE",
        )

    def _identity(self, delivery: Delivery, objects: list[Mapping[str, Any]]) -> tuple[str, bool]:
        """By what a delivery is known again: the sender's ID for it; else all of it, which is one
        delivery for good if it was signed with its time or if its records say when they were
        changed."""
        # A gateway's signature does not cover the sender's ID: whoever repeats a delivery could
        # give it another one.
        given = (
            None
            if self.settings.signing_key
            else delivery.headers.get(self.settings.id_header.lower())
        )
        if given:
            return digest(delivery.subscription, given), True
        stamp = (
            delivery.headers.get(self.settings.timestamp_header.lower(), "")
            if self.settings.signing_key
            else ""
        )
        dated = bool(objects and self._updated) and all(
            _value(one, self._updated) for one in objects
        )
        query = json.dumps(sorted(delivery.query.items()))
        return digest(
            delivery.subscription, delivery.method, delivery.key or "", query, stamp, delivery.body
        ), bool(stamp or dated)


def _message(delivery: Delivery, stamp: str) -> bytes:
    """What a gateway signs: the time, the method, the path with its query, and the body, with a
    newline between each two.

    No part but the body can hold a newline.
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
    try:
        found = json.loads(body) if body.strip() else []
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict):
        inner = _value(found, "results")
        found = inner if isinstance(inner, list) else [found]
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _value(one: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in one.items() if key.lower() == name), None)

"""BambooHR's webhooks: of employees, signed with the private key that is shown when one is made.

The signature is the HMAC-SHA256 of the body and, after it, the time (``X-BambooHR-Timestamp``).
Bodies are those of webhooks for fields (``employees``, each with ``id``, ``action`` and ``fields``)
or for events (``data`` with ``employeeId``): BambooHR's documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from ...webhooks import Arrival, Delivery, Forged, Unreadable, digest, signed, timely, usable

TOLERANCE = timedelta(minutes=5)


class BamboohrWebhooks:
    """Implements :class:`connectors.webhooks.Sender`. number: BambooHR's name of the field that we
    know an employee by."""

    def __init__(self, key: SecretStr, number: str) -> None:
        self._key, self._number = key, number

    def subscriptions(self) -> Mapping[str, str]:
        """One for all."""
        return {"bamboohr": "employees"}

    def screen(self, headers: Mapping[str, str]) -> None:
        """Nothing: BambooHR's proof covers the body."""

    def verify(self, delivery: Delivery) -> None:
        """By the signature and its time."""
        stamp = delivery.headers.get("x-bamboohr-timestamp")
        message = delivery.body + (stamp or "").encode("utf-8", "surrogateescape")
        if not signed(delivery.headers.get("x-bamboohr-signature"), self._key, message):
            raise Forged("signature")
        if not timely(stamp, delivery.at, TOLERANCE):
            raise Forged("time")

    def read(self, delivery: Delivery) -> Arrival:
        """The employees. BambooHR's own ID is not what we know them by: where the webhook does not
        carry the employee number as well, it says only that somebody was changed."""
        try:
            body = json.loads(delivery.body)
            said = body.get("employees") or [body["data"]]
            records = tuple(dict.fromkeys(("employees", self._known_by(one)) for one in said))
            gone = [
                str(one.get("action") or body.get("type") or "").lower().endswith("deleted")
                for one in said
            ]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            raise Unreadable("The body has neither employees nor data.") from None
        stamp = delivery.headers.get("x-bamboohr-timestamp", "")
        return Arrival(
            delivery.subscription,
            delivery.method,
            records,
            digest("bamboohr", stamp, delivery.body),
            True,
            all(gone),
        )

    def _known_by(self, one: Mapping[str, Any]) -> str | None:
        fields = one.get("fields")
        value = fields.get(self._number) if isinstance(fields, dict) else None
        return usable(value.get("value") if isinstance(value, dict) else value)

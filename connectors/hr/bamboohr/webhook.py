"""Verifies and reads BambooHR's webhooks about employees.

They are signed with the private key that BambooHR shows when a webhook is created. The signature is
the HMAC-SHA256 of the body followed by the time (``X-BambooHR-Timestamp``). According to BambooHR's
documentation, a body has ``employees``, each with ``id``, ``action`` and ``fields`` (webhooks for
fields), or ``data`` with ``employeeId`` (webhooks for events).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from ...webhooks import Arrival, Delivery, Forged, Unreadable, digest, signed, timely, usable

TOLERANCE = timedelta(minutes=5)
"""Maximum difference between the signed time and ours."""


class BamboohrWebhooks:
    """Implements :class:`connectors.webhooks.Sender`.

    Args:
        key: the private key.
        number: BambooHR's name of the field with the employee number, by which we identify people.
    """

    def __init__(self, key: SecretStr, number: str) -> None:
        self._key, self._number = key, number

    def subscriptions(self) -> Mapping[str, str]:
        """Returns the only subscription."""
        return {"bamboohr": "employees"}

    def screen(self, headers: Mapping[str, str]) -> None:
        """Does nothing: the signature covers the body, so it cannot be checked yet."""

    def verify(self, delivery: Delivery) -> None:
        """Checks the signature and its time."""
        stamp = delivery.headers.get("x-bamboohr-timestamp")
        message = delivery.body + (stamp or "").encode("utf-8", "surrogateescape")
        if not signed(delivery.headers.get("x-bamboohr-signature"), self._key, message):
            raise Forged("signature")
        if not timely(stamp, delivery.at, TOLERANCE):
            raise Forged("time")

    def read(self, delivery: Delivery) -> Arrival:
        """Returns the employees that the body names, by employee number.

        BambooHR's own ID is not used. A webhook without the employee number says only that some
        employee has changed, so the key is ``None``.
        """
        try:
            body = json.loads(delivery.body)
            employees = body.get("employees") or [body["data"]]
            records = tuple(dict.fromkeys(("employees", self._number_of(one)) for one in employees))
            deleted = [
                str(one.get("action") or body.get("type") or "").lower().endswith("deleted")
                for one in employees
            ]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            raise Unreadable("The body names no employee.") from None
        stamp = delivery.headers.get("x-bamboohr-timestamp", "")
        return Arrival(
            delivery.subscription,
            delivery.method,
            records,
            digest("bamboohr", stamp, delivery.body),
            once=True,
            deleted=all(deleted),
        )

    def _number_of(self, employee: Mapping[str, Any]) -> str | None:
        """Returns the employee number, or ``None`` if the webhook does not carry it."""
        fields = employee.get("fields")
        value = fields.get(self._number) if isinstance(fields, dict) else None
        return usable(value.get("value") if isinstance(value, dict) else value)

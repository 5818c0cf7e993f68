"""The metrics of the receiver for Prometheus: counts and seconds, no personal data."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "hrsync_webhooks_"
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Buckets in seconds for acknowledgements."""
SLOW = (1, 2, 3, 5, 8, 10, 15, 30, 60, 120, 300, 900, 3600)
"""Buckets in seconds for loads."""


class Metrics:
    """The metrics since the receiver started."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.tally: Tally[str] = Tally()
        """Reason -> number of refusals that are not in the store yet."""
        self.received = Counter(
            f"{PREFIX}received",
            "Authenticated deliveries, including duplicates.",
            ["subscription"],
            registry=registry,
        )
        self.duplicates = Counter(
            f"{PREFIX}duplicates",
            "Repeated deliveries.",
            ["subscription"],
            registry=registry,
        )
        self._refused = Counter(
            f"{PREFIX}refused", "Refused deliveries.", ["reason"], registry=registry
        )
        self.announced = Counter(
            f"{PREFIX}announced", "Events sent to Prefect.", ["flow"], registry=registry
        )
        self._waiting = Gauge(
            f"{PREFIX}waiting",
            "Hints that no run has processed yet.",
            ["process"],
            registry=registry,
        )
        self.acknowledged = Histogram(
            f"{PREFIX}acknowledged_seconds",
            "Time from a request to its acknowledgement.",
            buckets=QUICK,
            registry=registry,
        )
        self._loaded = Histogram(
            f"{PREFIX}loaded_seconds",
            "Time from a delivery to the end of the load.",
            ["process"],
            buckets=SLOW,
            registry=registry,
        )

    def refused(self, reason: str) -> None:
        """Counts a refused delivery. ``reason`` is one of a few fixed words."""
        self._refused.labels(reason).inc()
        self.tally[reason] += 1

    def loaded(self, lags: Sequence[tuple[str, datetime, datetime]]) -> None:
        """Adds processed hints: (process, when received, when processed)."""
        for process, received, processed in lags:
            self._loaded.labels(process).observe((processed - received) / timedelta(seconds=1))

    def waits(self, hints: Mapping[str, int]) -> None:
        """Replaces the number of waiting hints by process."""
        self._waiting.clear()
        for process, number in hints.items():
            self._waiting.labels(process).set(number)

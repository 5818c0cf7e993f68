"""What the receiver counts, for Prometheus: counts and seconds, nothing of anybody."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "hrsync_webhooks_"
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (1, 2, 3, 5, 8, 10, 15, 30, 60, 120, 300, 900, 3600)


class Metrics:
    """Since the receiver has started. tally: refusals by reason that the store has not been told
    of."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.tally: Tally[str] = Tally()
        self.received = Counter(
            f"{PREFIX}received",
            "Genuine deliveries, duplicates among them.",
            ["subscription"],
            registry=registry,
        )
        self.duplicates = Counter(
            f"{PREFIX}duplicates",
            "Deliveries that had come before.",
            ["subscription"],
            registry=registry,
        )
        self._refused = Counter(
            f"{PREFIX}refused", "Deliveries that were refused.", ["reason"], registry=registry
        )
        self.announced = Counter(
            f"{PREFIX}announced", "Events that were sent to Prefect.", ["flow"], registry=registry
        )
        self._waiting = Gauge(
            f"{PREFIX}waiting", "Hints that no run has heard yet.", ["process"], registry=registry
        )
        self.acknowledged = Histogram(
            f"{PREFIX}acknowledged_seconds",
            "From a request to its acknowledgement.",
            buckets=QUICK,
            registry=registry,
        )
        self._loaded = Histogram(
            f"{PREFIX}loaded_seconds",
            "From a delivery to the end of the load.",
            ["process"],
            buckets=SLOW,
            registry=registry,
        )

    def refused(self, reason: str) -> None:
        """A delivery was refused, for one of a few reasons."""
        self._refused.labels(reason).inc()
        self.tally[reason] += 1

    def loaded(self, found: Sequence[tuple[str, datetime, datetime]]) -> None:
        """Takes in (process, received, heard) of hints that were heard."""
        for process, received, heard in found:
            self._loaded.labels(process).observe((heard - received) / timedelta(seconds=1))

    def waits(self, hints: Mapping[str, int]) -> None:
        """Takes in how many hints wait now, by process."""
        self._waiting.clear()
        for process, number in hints.items():
            self._waiting.labels(process).set(number)

"""Determines which systems may send webhooks, and which processes and flows these concern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.accessplanit.feeds import FEEDS
from connectors.accessplanit.webhook import AccessplanitWebhooks
from connectors.hr import connectors
from connectors.settings import Settings
from connectors.webhooks import Sender, Watch
from reconciliation.errors import Misconfigured
from reconciliation.hints import feeds
from tasks.blocks import hr_settings

from ..catalogue import PROCESSES

SPECS = {name: chosen.scoped() for name, chosen in PROCESSES.items()}
FLOW_OF = {name: chosen.flow.name for name, chosen in PROCESSES.items()}
"""Process -> the flow that runs it."""


@dataclass(frozen=True)
class Subscriptions:
    """The sources of hints, and the processes that they concern."""

    senders: Mapping[str, Sender]
    """Subscription (its name in the path) -> the system that sends it."""
    watches: Mapping[str, Watch]
    """Connector -> the check for new files."""
    concerned: Mapping[tuple[str, str], Sequence[str]]
    """(subscription or connector, feed) -> the processes that a changed record concerns."""


def subscriptions(settings: Settings) -> Subscriptions:
    """Returns the subscriptions and watches that the settings allow.

    Raises:
        Misconfigured: there are none. A system without a secret gets no subscription, because
            anybody could send anything.
    """
    from_accessplanit = sorted(
        {feed for spec in SPECS.values() if spec.direction == "to_hr" for feed in feeds(spec)}
        & set(FEEDS)
    )
    senders: dict[str, Sender] = {}
    watches: dict[str, Watch] = {}
    concerned: dict[tuple[str, str], list[str]] = defaultdict(list)
    if settings.webhooks.guarded:
        accessplanit = AccessplanitWebhooks(
            settings.webhooks, from_accessplanit, settings.dialect.date_updated
        )
        for name, feed in accessplanit.subscriptions().items():
            senders[name] = accessplanit
            concerned[name, feed] = [
                process for process, spec in SPECS.items() if feed in feeds(spec)
            ]
    for process, spec in SPECS.items():
        if spec.direction != "from_hr":
            continue
        name, block = settings.system_of(process)
        connector, chosen = connectors()[name], hr_settings(settings, name, block)
        concerned[name, spec.feed].append(process)
        sender = connector.webhook(chosen)
        if sender is not None:
            senders |= dict.fromkeys(sender.subscriptions(), sender)
        watch = None if name in watches else connector.watch(chosen, settings.home)
        if watch is not None:
            watches[name] = watch
    if not senders and not watches:
        raise Misconfigured(
            "The receiver has no secret to authenticate deliveries with",
            "Set HRSYNC_WEBHOOKS__SECRET (or __USERNAME and __PASSWORD, or __SIGNING_KEY), and the "
            "same value in the webhooks of accessplanit.",
        )
    return Subscriptions(senders, watches, concerned)

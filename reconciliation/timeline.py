"""Tells the history of one key in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

DONE = {
    "created": "was created in {side}",
    "updated": "was changed in {side}",
    "closed": "was closed in {side}",
    "failed": "was refused by {side}",
    "unknown": "was sent to {side}, which now shows something else",
    "done": "was",
}


def timeline(
    entries: Sequence[Mapping[str, Any]],
    quarantined: Sequence[Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]],
    sides: Mapping[str, str],
    values: bool,
) -> list[tuple[datetime, str, str]]:
    """Returns (moment in UTC, process, sentence), oldest first.

    Args:
        entries: entries of the ledger (``store.ledger.Ledger.story``).
        quarantined: rows of the quarantine table.
        links: rows of the links table.
        sides: process -> name of the side that it writes to.
        values: whether to add the values before and after, which are personal data.
    """
    lines = [(e["at"], e["process"], " ".join(_change(e, sides, values))) for e in entries]
    lines += [(q["first_seen"], q["process"], _held(q, sides)) for q in quarantined]
    lines += [(link["since"], link["entity"], _link(link)) for link in links]
    return sorted(lines, key=lambda line: line[0])


def _change(entry: Mapping[str, Any], sides: Mapping[str, str], values: bool) -> Iterator[str]:
    if entry["kind"] in ("link", "unlink"):
        yield f"{entry['entity']} {entry['key']}: {entry['reason']}"
        return
    yield (
        f"{entry['entity']} {entry['key']} "
        f"{DONE[entry['outcome']].format(side=sides.get(entry['process'], 'HR'))}"
    )
    fields = [name for name in (entry["fields"] or "").split(",") if name]
    if fields:
        yield f"({', '.join(fields)})"
    yield f"because it {entry['reason']}" if entry["reason"] else ""
    if entry["note"]:
        yield f"[{entry['note']}]"
    yield f"by run {entry['run'][:8]}, plan {entry['digest']}."
    if values and entry.get("after"):
        before = entry.get("before") or {}
        yield "; ".join(
            f"{name}: {before.get(name) or '(nothing)'} → {value or '(nothing)'}"
            for name, value in entry["after"].items()
        )


def _held(entry: Mapping[str, Any], sides: Mapping[str, str]) -> str:
    waits = f" ({entry['waits_for']})" if entry["waits_for"] else ""
    ends = {
        "replayed": f"went through on {entry['last_seen']:%d %b %Y %H:%M}",
        "vanished": f"was no longer sent on {entry['last_seen']:%d %b %Y %H:%M}",
        "discarded": f"was discarded by a person: {entry['note']}",
    }
    again = (
        f"is tried again from {entry['next_attempt']:%d %b %Y %H:%M} on"
        if entry["next_attempt"]
        else "waits for a person"
    )
    what = {
        "held": "was held",
        "failed": f"was refused by {sides.get(entry['process'], 'HR')}",
        "gone": "was found gone",
    }.get(entry["stage"], "could not be read")
    times = f"{entry['attempts']} time{'s' if entry['attempts'] > 1 else ''}"
    why = f"{entry['field'] or ''} {entry['reason']}{waits}"
    end = ends.get(entry["status"], again)
    return f"The record {entry['key']} {what}: {why}, {times}; it {end} (run {entry['run'][:8]})."


def _link(link: Mapping[str, Any]) -> str:
    how = "set by a person" if link["origin"] == "set" else "found by the matching rules, or new"
    return (
        f"accessplanit {link['source_key']} is {link['entity']} {link['target_key']} in HR ({how})."
    )

"""Computes when deployments run. ``python -m flows.schedules`` writes the schedules into
prefect.yaml. A flow without a deployment in that file gets one.

Every flow runs several times an hour, from a minute that is computed from its name. So the flows
are spread over the hour, and a new flow does not change the minutes of the others. The weekly
sweeps begin some minutes apart from each other.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from zlib import crc32

from .catalogue import FLOWS, PROCESSES

FILE = Path(__file__).resolve().parent.parent / "prefect.yaml"
MINUTES = {
    "users_to_hr": 5,
    "users_from_hr": 5,
    "course_requests_to_hr": 10,
    "course_decisions_from_hr": 10,
    "role_compliance": 60,
}
"""Minutes between two runs of a flow."""
OTHERS = 20
"""Minutes between two runs of a flow that is not in :data:`MINUTES`."""
SWEEPS_AT = 3 * 60 + 2
"""When the first sweep begins on Sunday, in minutes after midnight."""
SWEEPS_APART = 11
"""Approximate number of minutes between two sweeps."""
NO_SWEEP = {"role_compliance"}
"""Flows that have no weekly sweep, because each of their runs compares everything."""


FIRST_OF_OTHERS = "  - name: reconcile-history\n"
"""The first deployment of a flow without a process. New entries are inserted before it, or at the
end of the file if it is missing."""


def crons() -> dict[str, str]:
    """Returns the cron of every schedule, by its slug."""
    by_slug = {"retention-nightly": "57 2 * * *"}
    for number, name in enumerate(FLOWS):
        every = MINUTES.get(name, OTHERS)
        first = crc32(name.encode()) % every
        minutes = str(first) if every == 60 else f"{first}-59/{every}"
        by_slug[_frequent(name)] = f"{minutes} * * * *"
        if name not in NO_SWEEP:
            at = SWEEPS_AT + SWEEPS_APART * number
            # If the flow also has an ordinary run at this minute, the sweep begins a minute later.
            hour, minute = divmod(at + (at % every == first), 60)
            by_slug[_weekly(name)] = f"{minute} {hour} * * 0"
    return by_slug


def _frequent(flow: str) -> str:
    return f"{_deployment(flow)}-every-{MINUTES.get(flow, OTHERS)}-minutes"


def _weekly(flow: str) -> str:
    return f"{_deployment(flow)}-weekly-sweep"


def _deployment(flow: str) -> str:
    return flow.replace("_", "-")


def rewritten(text: str) -> str:
    """Returns the text of prefect.yaml with the current crons and an entry for every flow."""
    for flow in FLOWS:
        if f"- name: {_deployment(flow)}\n" not in text:
            before, anchor, after = text.partition(FIRST_OF_OTHERS)
            text = f"{before.rstrip()}\n\n{_entry(flow)}{anchor}{after}"
    for slug, cron in crons().items():
        # The slug in the file may name another interval.
        earlier = re.sub(r"\d+", r"\\d+", slug)
        text = re.sub(rf'(- slug: ){earlier}(\n\s+cron: )".*"', rf'\g<1>{slug}\g<2>"{cron}"', text)
    return text


def _entry(flow: str) -> str:
    """Returns the YAML of a new deployment: it runs on a schedule, after webhooks, and weekly as a
    sweep."""
    name = _deployment(flow)
    spec = next(p.scoped() for p in PROCESSES.values() if p.flow.name == flow)
    direction = "accessplanit-to-hr" if spec.direction == "to_hr" else "hr-to-accessplanit"
    description = str(inspect.getdoc(FLOWS[flow].fn)).partition("\n\n")[0].replace("\n", " ")
    return f"""\
  - name: {name}
    description: "{description}"
    entrypoint: flows.{flow}.{flow}
    tags: [{direction}, {spec.entity.replace("_", "-")}]
    parameters: {{}}
    work_pool: *pool
    concurrency_limit: 1
    triggers:
      - name: {name} on changed records
        type: event
        match: {{prefect.resource.id: hrsync.flow.{flow}}}
        expect: [hrsync.records.changed]
        parameters: {{run: {{hinted: true}}}}
    schedules:
      - slug: {_frequent(flow)}
        cron: ""
        timezone: UTC
      - slug: {_weekly(flow)}
        cron: ""
        timezone: Europe/London
        parameters: {{run: {{sweep: true}}}}

"""


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"Wrote {FILE}\n")

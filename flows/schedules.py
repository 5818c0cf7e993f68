"""Computes when deployments run. ``python -m flows.schedules`` writes the crons into prefect.yaml.

It also writes a whole entry for each flow that has none. A frequent flow begins at a
minute that follows from its name, so that few flows begin together and a new flow moves no other.
The weekly sweeps are far enough apart that no two begin together.
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
"""Minutes between two runs of any other flow."""
SWEEPS_AT = 3 * 60 + 2
"""Minute of Sunday on which the first sweep begins."""
SWEEPS_APART = 11
"""Approximate number of minutes between two sweeps."""
NO_SWEEP = {"role_compliance"}
"""Flows without a weekly sweep, because each of their runs is one."""


def crons() -> dict[str, str]:
    """Returns the cron of every schedule, by its slug."""
    by_slug = {"retention-nightly": "57 2 * * *"}
    for place, name in enumerate(FLOWS):
        every = MINUTES.get(name, OTHERS)
        first = crc32(name.encode()) % every
        minutes = str(first) if every == 60 else f"{first}-59/{every}"
        by_slug[_frequent(name)] = f"{minutes} * * * *"
        if name not in NO_SWEEP:
            at = SWEEPS_AT + SWEEPS_APART * place
            # No flow's sweep begins with a frequent run of the same flow.
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
            before, anchor, after = text.partition(LAST)
            text = f"{before.rstrip()}\n\n{_entry(flow)}{anchor}{after}"
    for slug, cron in crons().items():
        text = re.sub(rf'(- slug: {slug}\n\s+cron: )".*"', rf'\g<1>"{cron}"', text)
    return text


LAST = "  - name: reconcile-history\n"
"""New entries come before this one, or at the end of the file if it is missing."""


def _entry(flow: str) -> str:
    """Returns the deployment of a flow whose runs read what has changed, as YAML."""
    name = _deployment(flow)
    spec = next(p.scoped() for p in PROCESSES.values() if p.flow.name == flow)
    direction = "accessplanit-to-hr" if spec.direction == "to_hr" else "hr-to-accessplanit"
    does = str(inspect.getdoc(FLOWS[flow].fn)).partition("\n\n")[0].replace("\n", " ")
    return f"""\
  - name: {name}
    description: "{does}"
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
    sys.stdout.write(f"{FILE} is written\n")

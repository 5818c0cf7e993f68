"""When deployments are due. ``python -m flows.schedules`` writes the crons into prefect.yaml.

A flow that runs every few minutes begins as many minutes after the hour as its place in the
catalogue says, so that few begin together, and a flow appended to the catalogue moves no other. The
weekly sweeps are far enough apart that no two begin together.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .catalogue import FLOWS

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
"""Minutes between two sweeps: no flow's sweep begins with a frequent run of the same flow."""
NO_SWEEP = {"role_compliance"}
"""Every run of these flows is a sweep."""


def crons() -> dict[str, str]:
    """The cron of every schedule, by its slug."""
    found = {"retention-nightly": "57 2 * * *"}
    for place, name in enumerate(FLOWS):
        deployment, every = name.replace("_", "-"), MINUTES.get(name, OTHERS)
        first = place % every
        minutes = str(first) if every == 60 else f"{first}-59/{every}"
        found[f"{deployment}-every-{every}-minutes"] = f"{minutes} * * * *"
        if name not in NO_SWEEP:
            hour, minute = divmod(SWEEPS_AT + SWEEPS_APART * place, 60)
            found[f"{deployment}-weekly-sweep"] = f"{minute} {hour} * * 0"
    return found


def rewritten(text: str) -> str:
    """prefect.yaml with these crons."""
    for slug, cron in crons().items():
        text = re.sub(rf'(- slug: {slug}\n\s+cron: )".*"', rf'\g<1>"{cron}"', text)
    return text


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{FILE} is written\n")

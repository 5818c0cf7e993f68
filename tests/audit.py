"""Asks whether a version in the lock has a known vulnerability: ``make check`` runs it.

It fails for one that a newer version mends. Where the advisories (OSV, or ``OSV_URL``) cannot be
reached it says so and passes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "tests/requirements.lock"
ACCEPTED: Mapping[str, str] = {}
"""ID of a vulnerability that is not to be mended -> the reason."""
KNOWN = "jinja2==3.1.2\n"
"""Has been known as vulnerable since 2024: whoever does not know that has no advisories."""
UNREACHED = (
    "Known vulnerabilities: not looked for, because the advisories cannot be reached from here"
)
SECONDS = 20.0
"""For the answer about one package."""
SECONDS_FOR_ALL = 180.0


def ask(requirements: Path, seconds: float) -> list[dict[str, Any]]:
    """What is known of each package of a file; nothing if the advisories cannot be reached in
    time."""
    url = ["--osv-url", os.environ["OSV_URL"]] if "OSV_URL" in os.environ else []
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--vulnerability-service",
        "osv",
        *url,
        "--no-deps",
        "--disable-pip",
    ]
    command += ["--progress-spinner", "off", "--format", "json", "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return found


def vulnerable(found: list[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability that a newer version mends and that is not accepted."""
    return [
        f"{package['name']} {package['version']} has {one['id']}, which "
        f"{', '.join(one['fix_versions'])} mends"
        for package in found
        for one in package.get("vulns", ())
        if one["fix_versions"] and not ACCEPTED.keys() & {one["id"], *one["aliases"]}
    ]


def main(lock: Path = LOCK) -> int:
    """Prints what was found; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "requirements.txt"
        known.write_text(KNOWN)
        reached = vulnerable(ask(known, SECONDS))
    found = ask(lock, SECONDS_FOR_ALL) if reached else []
    if not found:
        print(UNREACHED)
        return 0
    lines = vulnerable(found)
    print(
        "\n".join(lines)
        or f"Known vulnerabilities: none that a newer version mends, in {len(found)} packages"
    )
    if lines:
        print(
            "Raise the versions (make lock ARGS=--upgrade), or accept one with its reason in "
            f"{Path(__file__).name}."
        )
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

"""The process that forks the ones to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .sides import Side

NOW = datetime.now(UTC)


class Worker:
    """The process that forks the ones to be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.chaos_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        side: Side,
        folder: Path,
        process: str,
        order: dict[str, Any],
        kill: int | None,
        **more: Any,
    ) -> dict[str, Any]:
        """How it ended, and what it passed if it came to its end."""
        assert self.process.stdin
        assert self.process.stdout
        result = folder / "result.json"
        asked = {
            "folder": str(folder),
            "url": side.base_url,
            "dialect": side.dialect.model_dump(mode="json"),
            "now": NOW.isoformat(),
            "process": process,
            "order": order,
            "kill": kill,
            "result": str(result),
            **more,
        }
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        ended = dict(json.loads(self.process.stdout.readline()))
        return ended | (json.loads(result.read_text()) if not ended["killed"] else {})

"""A drop of files, and an inbox in a folder or over SFTP."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.hr import connectors
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.system import CsvDrop
from reconciliation.snapshot import Snapshot


def drop(tmp_path: Path, **settings: Any) -> CsvDrop:
    values = {"folder": tmp_path / "files", "quiet_seconds": 0, **settings}
    opened = connectors()["csv_drop"].open(CsvDropSettings.model_validate(values), tmp_path)
    assert isinstance(opened, CsvDrop)
    return opened


def answer(files: Path, name: str, text: str) -> Path:
    (files / "from_hr").mkdir(parents=True, exist_ok=True)
    (files / "from_hr" / name).write_text(text, newline="", encoding="utf-8")
    return files / "from_hr" / name


HEAD = "employee_id,surname,status\r\n"


@dataclass
class Box:
    """An inbox and the settings that lead there; files are put into it as if they were written
    ``at`` a moment."""

    home: Path
    inbox: Path
    settings: dict[str, Any]

    def put(self, name: str, content: str | bytes, at: float | None = None) -> Path:
        self.inbox.mkdir(parents=True, exist_ok=True)
        (self.inbox / name).write_bytes(content.encode() if isinstance(content, str) else content)
        if at is not None:
            os.utime(self.inbox / name, (at, at))
        return self.inbox / name

    def say(self, name: str, status: str, at: float | None = None) -> Path:
        """A file that gives N1 a status."""
        return self.put(name, f"{HEAD}N1,Ashdown,{status}\r\n", at)

    def read(self, **settings: Any) -> Snapshot:
        system = drop(self.home, **self.settings, **settings)
        found = system.read("employees", {"surname": "text", "status": "text"})
        system.close()
        return found

    def status(self, **settings: Any) -> str | None:
        """That of N1, as a run sees it."""
        return next(iter(self.read(**settings).frame["status"]), None)

"""Settings of the CSV drop, and what it can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from string import Formatter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from reconciliation.capabilities import Capabilities
from reconciliation.names import is_below, is_name
from reconciliation.values import NO_END

from ..sql import capabilities


class SftpSettings(BaseModel):
    """An SFTP server. Its host key must be in ``known_hosts``: none is trusted on first use."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    host: str
    port: int = 22
    username: str
    password: SecretStr | None = None
    private_key: SecretStr | None = Field(
        None, description="an OpenSSH or PEM private key, the text itself"
    )
    passphrase: SecretStr | None = None
    known_hosts: str = Field(
        description="lines of a known_hosts file, such as ssh-keyscan prints; compare them with "
        "the host's own first"
    )
    timeout: float = Field(30.0, gt=0, description="seconds for connecting, and for each file")


class CsvDropSettings(BaseModel):
    """Where files are put and fetched, and how they are written."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    folder: Path | None = Field(
        None, description="a local folder; without it and sftp: hr-files below HRSYNC_HOME"
    )
    sftp: SftpSettings | None = None
    outbox: str = Field(
        "to_hr",
        description="folder for our files, below the folder or the SFTP user's home, or an "
        "absolute path of the SFTP server",
    )
    inbox: str = Field("from_hr", description="folder for HR's answer files")
    archive: str = Field("from_hr/archive", description="folder for answer files that were read")
    archive_days: int | None = Field(400, ge=1, description="days that files stay in the archive")
    mode: Literal["delta", "full"] = Field(
        "delta", description="a file holds what has changed, or all rows"
    )
    file_name: str = Field(
        "{entity}-{sequence:08}.csv",
        description="{entity} and {sequence}; a delta needs the sequence",
    )
    file_mode: str | None = Field(
        None,
        pattern="^0?[0-7]{3}$",
        description="rights of our files, such as 0640; none given: as the umask says",
    )
    file_group: str | None = Field(None, description="group of our files in a local folder")
    columns: Mapping[str, tuple[str, ...]] = Field(
        {}, description="entity -> its columns in order; all of them if it is not named"
    )
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    date_format: str = Field("%Y-%m-%d", description="of days, as strftime writes them")
    moment_format: str = Field("%Y-%m-%dT%H:%M:%SZ", description="of moments, which are UTC")
    no_end: tuple[date, ...] = Field(
        tuple(sorted(NO_END)), description="dates that stand for no date"
    )
    formulas: Literal["quote", "keep"] = Field(
        "quote", description="text that a spreadsheet would compute gets a quote before it"
    )
    quiet_seconds: float = Field(
        10.0,
        ge=0,
        description="seconds without a change before an answer file without a manifest is read",
    )

    @model_validator(mode="after")
    def _usable(self) -> CsvDropSettings:
        if self.folder and self.sftp:
            raise ValueError("files go to a folder or to an SFTP server, not to both")
        if self.mode == "delta" and "{sequence" not in self.file_name:
            raise ValueError(
                "file_name needs {sequence}: a delta that takes the place of one that HR has "
                "not read is lost"
            )
        if self.sftp and self.file_group:
            raise ValueError(
                "file_group is for a local folder; the SFTP server decides on the group"
            )
        if "{entity" not in self.file_name:
            raise ValueError("file_name needs {entity}")
        self._paths()
        "".encode(self.encoding)
        return self

    def _paths(self) -> None:
        """Raises:
        ValueError: files would be put, fetched or archived anywhere but below the place that was
        named.
        """
        for setting in ("outbox", "inbox", "archive"):
            path = getattr(self, setting)
            # An SFTP server decides itself what its user may reach.
            if not is_below(path.removeprefix("/") if self.sftp else path):
                raise ValueError(
                    f"{setting} is not a folder below the drop: use a relative path without '..'"
                )
        asked = [
            (name, form or "")
            for _, name, form, _ in Formatter().parse(self.file_name)
            if name is not None
        ]
        if not {name for name, _ in asked} <= {"entity", "sequence"}:
            raise ValueError("file_name knows {entity} and {sequence} only")
        if not all(re.fullmatch(r"0?\d*", form) for _, form in asked):
            raise ValueError(
                "file_name may say how many digits {sequence} has, as {sequence:08}, and "
                "nothing else"
            )
        if not is_name(self.file_name.format(entity="employees", sequence=1)):
            raise ValueError(
                "file_name is not a name: leave out separators, '..' and control characters"
            )


def capabilities_of(settings: CsvDropSettings) -> Capabilities:
    held = capabilities("written_at")
    what = f"files over SFTP ({settings.sftp.host})" if settings.sftp else "files in a folder"
    return Capabilities(system=what, entities=held.entities)

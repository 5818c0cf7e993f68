"""Settings of the CSV drop, and the entities that it can hold."""

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
    """An SFTP server. Its host key must be in ``known_hosts``; no key is trusted on first use."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    host: str
    port: int = 22
    username: str
    password: SecretStr | None = None
    private_key: SecretStr | None = Field(None, description="text of an OpenSSH or PEM private key")
    passphrase: SecretStr | None = None
    known_hosts: str = Field(
        description="lines of a known_hosts file, such as ssh-keyscan prints; first compare them "
        "with the host's own key"
    )
    timeout: float = Field(30.0, gt=0, description="seconds for connecting, and for each file")


class CsvDropSettings(BaseModel):
    """The folders in which files are exchanged, and the format of the files."""

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
    archive_days: int | None = Field(
        400, ge=1, description="days for which files stay in the archive"
    )
    mode: Literal["delta", "full"] = Field(
        "delta", description="whether a file holds the changed rows or all rows"
    )
    file_name: str = Field(
        "{entity}-{sequence:08}.csv",
        description="{entity} and {sequence}; a delta needs the sequence",
    )
    file_mode: str | None = Field(
        None,
        pattern="^0?[0-7]{3}$",
        description="permissions of our files, such as 0640; without it the umask decides",
    )
    file_group: str | None = Field(None, description="group of our files in a local folder")
    columns: Mapping[str, tuple[str, ...]] = Field(
        {}, description="entity -> its columns in order; an entity not named has all columns"
    )
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    date_format: str = Field("%Y-%m-%d", description="strftime format of days")
    moment_format: str = Field(
        "%Y-%m-%dT%H:%M:%SZ", description="strftime format of moments, which are UTC"
    )
    no_end: tuple[date, ...] = Field(
        tuple(sorted(NO_END)), description="dates that stand for no date"
    )
    formulas: Literal["quote", "keep"] = Field(
        "quote",
        description="whether text that a spreadsheet would run as a formula gets an apostrophe "
        "before it",
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
                "file_name needs {sequence}: without it a delta would overwrite one that HR has "
                "not read yet"
            )
        if self.sftp and self.file_group:
            raise ValueError(
                "file_group is only for a local folder; the SFTP server decides on the group"
            )
        if "{entity" not in self.file_name:
            raise ValueError("file_name needs {entity}")
        self._paths()
        "".encode(self.encoding)  # Raises an error if Python does not know the encoding.
        return self

    def _paths(self) -> None:
        """Checks the folders and the file name.

        Raises:
            ValueError: files would be exchanged or archived outside the configured place.
        """
        for setting in ("outbox", "inbox", "archive"):
            path = getattr(self, setting)
            # Absolute paths are allowed over SFTP: the server decides what its user may access.
            if not is_below(path.removeprefix("/") if self.sftp else path):
                raise ValueError(
                    f"{setting} is not a folder below the drop: use a relative path without '..'"
                )
        placeholders = [
            (name, form or "")
            for _, name, form, _ in Formatter().parse(self.file_name)
            if name is not None
        ]
        if not {name for name, _ in placeholders} <= {"entity", "sequence"}:
            raise ValueError("file_name may only have the placeholders {entity} and {sequence}")
        if not all(re.fullmatch(r"0?\d*", form) for _, form in placeholders):
            raise ValueError(
                "file_name may only set the number of digits of {sequence}, as {sequence:08}"
            )
        if not is_name(self.file_name.format(entity="employees", sequence=1)):
            raise ValueError(
                "file_name is not a name: leave out separators, '..' and control characters"
            )


def capabilities_of(settings: CsvDropSettings) -> Capabilities:
    """Returns what the drop can hold: all entities, as its mirror."""
    of_mirror = capabilities("written_at")
    system = f"files over SFTP ({settings.sftp.host})" if settings.sftp else "files in a folder"
    return Capabilities(system=system, entities=of_mirror.entities)

"""A folder of frames by path: on this machine or in a bucket, whatever fsspec knows. A finished
part is never half there."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec.core
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from reconciliation.errors import Misconfigured, StoreFailed
from reconciliation.frame import arrow, frame

from .private import private_file


class Folder:
    """Frames as Parquet and notes as JSON below ``url`` (a path, or ``s3://…``, ``gs://…``,
    ``abfs://…``).

    What it makes on this machine is for its owner alone.

    Raises:
        Misconfigured: nothing that is installed can open such an address.
        StoreFailed: it cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._fs, self._path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise Misconfigured(
                f"The folder of reconciliations cannot be opened ({type(error).__name__})",
                "Correct HRSYNC_HISTORY__FOLDER, or install what opens "
                "such an address (s3fs, gcsfs, adlfs).",
            ) from None

    def below(self, name: str) -> Folder:
        """A folder in this one."""
        return Folder(f"{self.url}/{name}")

    def has(self, name: str) -> bool:
        """Whether there is a note or file of this name."""
        return bool(self._fs.exists(f"{self._path}/{name}"))

    def names(self) -> list[str]:
        """What is in it."""
        if not self._fs.exists(self._path):
            return []
        return sorted(
            str(found).rstrip("/").rpartition("/")[2]
            for found in self._fs.ls(self._path, detail=False)
        )

    def keep(self, name: str, data: pd.DataFrame) -> None:
        """Writes a frame, whole or not at all."""
        table = pa.table({column: arrow(data[column]) for column in data.columns})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write(f"{name}.parquet", sink.getvalue().to_pybytes())

    def frame(self, name: str) -> pd.DataFrame:
        """A frame that was kept."""
        try:
            table = pq.read_table(
                pa.BufferReader(self._fs.cat_file(f"{self._path}/{name}.parquet"))
            )
        except OSError as error:
            raise _failed(error) from None
        return frame({column: table[column].combine_chunks() for column in table.column_names})

    def note(self, name: str, content: dict[str, Any]) -> None:
        """Writes a note, whole or not at all: the last act of a part, by which it is known to be
        finished."""
        self.write(f"{name}.json", json.dumps(content).encode())

    def read_note(self, name: str) -> dict[str, Any] | None:
        """A note; ``None`` if it does not exist."""
        if not self.has(f"{name}.json"):
            return None
        return dict(json.loads(self._fs.cat_file(f"{self._path}/{name}.json")))

    def text(self, name: str) -> str | None:
        """A file as text; ``None`` if it does not exist."""
        return bytes(self._fs.cat_file(f"{self._path}/{name}")).decode() if self.has(name) else None

    def write(self, name: str, content: bytes) -> str:
        """Writes a file under another name and gives it its own then; returns where it is."""
        whole, part = f"{self._path}/{name}", f"{self._path}/.{uuid.uuid4().hex}"
        try:
            if isinstance(self._fs, LocalFileSystem):
                private_file(Path(part))
            else:
                self._fs.makedirs(self._path, exist_ok=True)
            self._fs.pipe_file(part, content)
            self._fs.mv(part, whole)
        except OSError as error:
            raise _failed(error) from None
        return f"{self.url}/{name}"

    def written(self, name: str) -> datetime:
        """When a file was last written."""
        try:
            moment: datetime = self._fs.modified(f"{self._path}/{name}")
        except OSError as error:
            raise _failed(error) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def delete(self, name: str) -> None:
        """Deletes a file, if it is there."""
        try:
            if self.has(name):
                self._fs.rm_file(f"{self._path}/{name}")
        except OSError as error:
            raise _failed(error) from None

    def remove(self) -> None:
        """Deletes the folder and all that is in it."""
        if self._fs.exists(self._path):
            self._fs.rm(self._path, recursive=True)


def _failed(error: OSError) -> StoreFailed:
    return StoreFailed(
        f"The folder of reconciliations cannot be used ({type(error).__name__})",
        "Check HRSYNC_HISTORY__FOLDER, its rights and its free space, then "
        "run again; finished parts are kept.",
    )

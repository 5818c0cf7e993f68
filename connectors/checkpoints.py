"""Stores frames and notes in a folder, on this machine or in any bucket that fsspec can open. Files
are written atomically."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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

    On this machine, only their owner can read the files and folders that are written.

    Raises:
        Misconfigured: no installed package can open this kind of address.
        StoreFailed: the folder cannot be read or written (every method).
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._fs, self._path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise Misconfigured(
                f"The folder for reconciliations cannot be opened ({type(error).__name__})",
                "Correct HRSYNC_HISTORY__FOLDER, or install the package for this kind of address "
                "(s3fs, gcsfs, adlfs).",
            ) from None

    def below(self, name: str) -> Folder:
        """Returns a subfolder."""
        return Folder(f"{self.url}/{name}")

    def has(self, name: str) -> bool:
        """Whether a file with this name exists. The name has its ending."""
        with _as_our_errors():
            return bool(self._fs.exists(f"{self._path}/{name}"))

    def names(self) -> list[str]:
        """Returns the sorted names of the files and folders in this folder."""
        with _as_our_errors():
            found = self._fs.ls(self._path, detail=False) if self._fs.exists(self._path) else []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def keep(self, name: str, data: pd.DataFrame) -> None:
        """Writes a frame as ``name.parquet``, atomically."""
        table = pa.table({column: arrow(data[column]) for column in data.columns})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write(f"{name}.parquet", sink.getvalue().to_pybytes())

    def frame(self, name: str) -> pd.DataFrame:
        """Reads a frame that :meth:`keep` has written."""
        table = pq.read_table(pa.BufferReader(self._content(f"{name}.parquet")))
        return frame({column: table[column].combine_chunks() for column in table.column_names})

    def note(self, name: str, content: dict[str, Any]) -> None:
        """Writes a note as ``name.json``, atomically."""
        self.write(f"{name}.json", json.dumps(content).encode())

    def read_note(self, name: str) -> dict[str, Any] | None:
        """Reads a note. Returns ``None`` if it does not exist."""
        if not self.has(f"{name}.json"):
            return None
        return dict(json.loads(self._content(f"{name}.json")))

    def text(self, name: str) -> str | None:
        """Reads a file as text. Returns ``None`` if it does not exist."""
        return self._content(name).decode() if self.has(name) else None

    def write(self, name: str, content: bytes) -> str:
        """Writes a file under a temporary name, then renames it. Returns its address."""
        final, part = f"{self._path}/{name}", f"{self._path}/.{uuid.uuid4().hex}"
        with _as_our_errors():
            if isinstance(self._fs, LocalFileSystem):
                private_file(Path(part))
            else:
                self._fs.makedirs(self._path, exist_ok=True)
            self._fs.pipe_file(part, content)
            self._fs.mv(part, final)
        return f"{self.url}/{name}"

    def written(self, name: str) -> datetime:
        """Returns when a file was last written. If the file system gives no zone, it is UTC."""
        with _as_our_errors():
            moment: datetime = self._fs.modified(f"{self._path}/{name}")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def delete(self, name: str) -> None:
        """Deletes a file if it exists."""
        if self.has(name):
            with _as_our_errors():
                self._fs.rm_file(f"{self._path}/{name}")

    def remove(self) -> None:
        """Deletes the folder and its content."""
        with _as_our_errors():
            if self._fs.exists(self._path):
                self._fs.rm(self._path, recursive=True)

    def _content(self, name: str) -> bytes:
        with _as_our_errors():
            return bytes(self._fs.cat_file(f"{self._path}/{name}"))


@contextmanager
def _as_our_errors() -> Iterator[None]:
    """Converts errors of the file system to StoreFailed."""
    try:
        yield
    except OSError as error:
        raise _failed(error) from None


def _failed(error: OSError) -> StoreFailed:
    return StoreFailed(
        f"The folder for reconciliations cannot be read or written ({type(error).__name__})",
        "Check HRSYNC_HISTORY__FOLDER, its permissions and its free space, then "
        "run again. Finished parts are kept.",
    )

"""Computes the digest that identifies a plan: its changes and the values that they replace."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow


def digest(changes: pd.DataFrame, before: pd.DataFrame, salt: bytes = b"") -> str:
    """Returns 16 hexadecimal digits over the names and values of all columns except ``reason``.
    Both frames must be sorted."""
    hasher = hashlib.blake2b(digest_size=8, key=salt)
    for part in (changes, before):
        for name in part.columns:
            if name != "reason":
                hasher.update(f"{name}:{len(part)};".encode())
                for piece in _canonical(arrow(part[name])) if len(part) else ():
                    hasher.update(piece)
    return hasher.hexdigest()


def _canonical(column: pa.Array) -> tuple[bytes, bytes]:
    """Returns a column as bytes that depend only on its values: the length (of text) or the value
    of each row, and the text of all rows joined."""
    if not pa.types.is_string(column.type):
        kind = pa.int32() if pa.types.is_date(column.type) else pa.int64()
        none = np.iinfo(np.int32).min
        return pc.fill_null(column.cast(kind), none).to_numpy().tobytes(), b""
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().tobytes()
    filled = pc.fill_null(column, "") if column.null_count else column
    offsets = np.frombuffer(filled.buffers()[1], np.int32)[
        filled.offset : filled.offset + len(filled) + 1
    ]
    text = filled.buffers()[2]
    if text is None or not len(offsets):
        return lengths, b""
    return lengths, bytes(memoryview(text)[offsets[0] : offsets[-1]])

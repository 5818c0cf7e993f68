"""A folder of partial results is whole or not there."""

from __future__ import annotations

from pathlib import Path

from connectors.checkpoints import Folder


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "deep" / "er"))
    assert (folder.names(), folder.read_note("x"), folder.text("x")) == ([], None, None)
    folder.note("x", {"a": 1})
    assert folder.read_note("x") == {"a": 1}
    assert folder.names() == ["x.json"]
    memory = Folder("memory://bucket/reconciliations")
    memory.note("x", {"a": 2})
    assert (memory.read_note("x"), memory.below("y").names()) == ({"a": 2}, [])
    memory.remove()
    assert memory.names() == []

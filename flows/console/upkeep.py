"""``hrsync forget``, ``backup`` and ``restore``: erases and copies what hrsync stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connectors.settings import load

from . import backup, forgetting
from .terminal import out, plain_errors, settings

app = typer.Typer()


@app.command()
@plain_errors
def forget(
    person: Annotated[str, typer.Argument(help="The ID of the user in accessplanit.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase one person's data from everything that hrsync stores: the sync store, files and copies
    of HR connectors, reports and lists."""
    config = settings()
    if others := forgetting.similar_ids(config, person):
        out.print(
            f"There is no user '{person}'. Did you mean {' or '.join(others)}? An ID must match "
            "exactly. Nothing was erased."
        )
        raise typer.Exit(1)
    if not yes:
        typer.confirm(f"Erase everything about '{person}' that hrsync keeps?", abort=True)
    erasure = forgetting.forget(config, person)
    erased = ", ".join(f"{rows:,} {name}" for name, rows in erasure.erased.items())
    _print(f"Erased: {erased}.")
    _print("Not erased:")
    for place in erasure.left:
        _print(f"- {place}")
    out.print(
        "If accessplanit still has the person in scope, the next run treats them as a new person. "
        "Prefect keeps no personal data."
    )


@app.command("backup")
@plain_errors
def backup_(to: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Copy the sync store and the other databases of the home folder. Runs can continue meanwhile.
    The copies hold personal data."""
    for line in backup.backup(load(), to):
        _print(f"- {line}")
    out.print(
        "Also keep your settings (.env) and mappings. To go back: hrsync restore, with an empty "
        "HRSYNC_HOME."
    )


@app.command("restore")
@plain_errors
def restore_(
    source: Annotated[Path, typer.Argument(help="The folder that 'hrsync backup' has made.")],
) -> None:
    """Restore the databases of a backup into HRSYNC_HOME, which must not hold any yet."""
    for line in backup.restore(load(), source):
        _print(f"- {line}")
    out.print(
        "The next runs continue from the backup. To find what HR or accessplanit has changed "
        "since: hrsync run PROCESS --sweep."
    )


def _print(line: str) -> None:
    out.print(line, highlight=False, soft_wrap=True)

"""The command line, as a person uses it."""

from __future__ import annotations

import re

from typer.testing import CliRunner

from flows.console.cli import app


def hrsync(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "250"})
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)

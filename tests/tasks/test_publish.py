"""What runs show in the Prefect UI: names from outside are shown as they are, and fetch nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from reconciliation.report import RunReport
from tasks.publish import escaped, summary

ODD = [
    "![x](http://evil.example/a.png)",
    "[click](http://evil.example)",
    "<img src=http://evil.example>",
    "a|b",
    "`x`",
    "**b**",
    "two\nlines",
    "# h",
]


@pytest.mark.parametrize("name", ODD)
def test_a_field_whose_name_is_markdown_is_only_a_name(name: str) -> None:
    report = RunReport("users_to_hr", "apply", "test", datetime(2026, 1, 1, tzinfo=UTC))
    report.drift = [f"User.{name} appeared"]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(summary(report))
    told = page.partition("Fields of the feed that changed")[2]
    for tag in ("<img", "<a ", "<strong", "<code", "<h1"):
        assert tag not in told
    assert MarkdownIt().render(escaped(name)).count("<p>") == 1

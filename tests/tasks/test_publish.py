"""What runs show in the Prefect UI: names from outside are shown as they are, and fetch nothing."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from markdown_it import MarkdownIt

from connectors.store.hints import Figures
from reconciliation.report import RunReport
from tasks.publish import escaped, publish, publish_webhooks, summary

ODD = [
    "a &lt; b",
    "one\rline",
    "![x](http://evil.example/a.png)",
    "[click](http://evil.example)",
    "<img src=http://evil.example>",
    "a|b",
    "`x`",
    "**b**",
    "two\nlines",
    "# h",
]
TAGS = ("<img", "<a ", "<strong", "<code", "<h1")


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


@pytest.fixture
def report() -> RunReport:
    return RunReport("users_to_hr", "apply", "test", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Key -> arguments of the artifacts that are made."""
    made: dict[str, dict[str, Any]] = {}

    def make(content: object, key: str, description: str) -> None:
        made[key] = {"content": content, "description": description}

    for kind in ("markdown", "table"):
        monkeypatch.setattr(f"tasks.publish.create_{kind}_artifact", make)
    return made


@pytest.mark.parametrize("name", ODD)
def test_a_field_whose_name_is_markdown_is_only_a_name(report: RunReport, name: str) -> None:
    report.drift = (f"User.{name} appeared",)
    told = rendered(summary(report)).partition("Fields of the feed that changed")[2]
    assert not [tag for tag in TAGS if tag in told]
    assert MarkdownIt().render(escaped(name)).count("<p>") == 1


@pytest.mark.parametrize("name", ODD)
def test_text_from_outside_is_shown_as_it_is(name: str) -> None:
    shown = html.unescape(re.sub(r"</?p>|\n$", "", rendered(escaped(name)).strip()))
    assert shown == re.sub(r"[\r\n]", " ", name)


@pytest.mark.parametrize("name", ODD)
def test_the_name_of_a_source_is_only_a_name(report: RunReport, name: str) -> None:
    report.source = name
    told = rendered(summary(report)).partition("Source:")[2].partition("<table>")[0]
    assert not [tag for tag in TAGS if tag in told]
    assert told.count("</p>") == 1


def test_the_summary_names_the_side_that_is_written(report: RunReport) -> None:
    report.target_side, report.read, report.reexamined = "accessplanit", 3, 1
    report.outcomes["updated"] = 4
    text = summary(report)
    assert (
        "3 rows read and 1 row of accessplanit compared again: 4 in all, which is the sum of the "
        "outcomes." in text
    )
    assert "HR" not in text
    report.outcomes["updated"] = 5
    assert "4 in all, which is **not** the sum of the outcomes." in summary(report)


def test_reasons_that_are_left_out_are_counted(
    report: RunReport, artifacts: dict[str, dict[str, Any]]
) -> None:
    report.reasons = [("held", "(row)", f"reason {number}", 1) for number in range(50)]
    publish.fn(report)
    assert artifacts["users-to-hr-quarantine"]["description"].endswith("were not loaded")
    report.reasons *= 2
    publish.fn(report)
    table = artifacts["users-to-hr-quarantine"]
    assert len(table["content"]) == 50
    assert table["description"].endswith("were not loaded; the first 50 of 100 reasons")


def test_the_names_in_the_counts_of_webhooks_are_only_names(
    artifacts: dict[str, dict[str, Any]],
) -> None:
    odd = "![x](http://evil.example/a.png)"
    publish_webhooks.fn(Figures({odd: (1, 0)}, {odd: 2}, {odd: 3}, []))
    assert not [tag for tag in TAGS if tag in rendered(artifacts["webhooks"]["content"])]


def test_19_of_20_times_are_within_95_percent(artifacts: dict[str, dict[str, Any]]) -> None:
    lags = [float(number) for number in range(1, 21)]
    publish_webhooks.fn(Figures({}, {}, {}, lags))
    assert "95 % within 19.0 s, longest 20.0 s" in artifacts["webhooks"]["content"]

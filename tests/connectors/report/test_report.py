"""The report: what a manager sees on a screen, on a phone, on paper, and with a screen reader; and
that it is nobody's but theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from connectors.checkpoints import Folder
from connectors.report.forget import forget
from connectors.report.page import csv_of, prune_reports, render, write
from connectors.settings import Settings
from flows import awards_to_hr
from flows.reconcile_history import keep_list
from reconciliation.frame import frame, of
from reconciliation.history.causes import EDITED, REMEDIES, REMOVED, UNLINKED
from reconciliation.history.classes import DIFFERS, EQUAL, MISSING, OUTSIDE, QUARANTINED
from reconciliation.history.findings import DIFFERENCES, Findings
from reconciliation.history.inquiry import Inquiry
from reconciliation.person import Person
from tests.company import AHEAD, DAY, NASTY

NOW = datetime(2026, 4, 2, 9, tzinfo=UTC)
ROWS = {
    "source_key": "text",
    "key": "text",
    "class": "text",
    "fields": "text",
    "cause": "text",
    "remedy": "text",
    "changed_by": "text",
    "changed_at": "moment",
    "who": "text",
    "name": "text",
    "what": "text",
    "state": "text",
    "target_state": "text",
}


def line(key: str, class_: str, cause: str | None = None, **more: Any) -> tuple[Any, ...]:
    values = {
        "source_key": key,
        "key": key,
        "class": class_,
        "cause": cause,
        "remedy": REMEDIES.get(cause or "", "nothing"),
    } | more
    return tuple(values.get(column) for column in ROWS)


def findings(rows: list[tuple[Any, ...]], differences: list[tuple[Any, ...]] = ()) -> Findings:  # type: ignore[assignment]
    inquiry = Inquiry(process="awards_to_hr", as_of=DAY, companies=("C1",))
    moments = (NOW, NOW, NOW)
    return Findings(
        awards_to_hr.SPEC,
        inquiry,
        of(ROWS, rows),
        of(DIFFERENCES, differences),
        "tenant",
        "hr.db",
        *moments,
        20,
        3,
        41,
    )


FOUND = findings(
    [
        *(line(f"UA{n}", EQUAL) for n in range(500)),
        line(
            "UA500",
            DIFFERS,
            EDITED,
            fields="award_label",
            who="E1",
            name=NASTY,
            what="First aid",
            changed_by="awards_to_hr r1",
            changed_at=NOW,
        ),
        line("UA501", MISSING, REMOVED, who="E2", name="Ann Example", what="Fire marshal"),
        line("UA502", QUARANTINED, "completed_on is not an ISO date"),
        line("UA503", QUARANTINED, UNLINKED),
        line("UA504", OUTSIDE, "not in the scope of the process"),
    ],
    [("UA500", "award_label", "First aid", NASTY, "First aid")],
)


# -- what it says --------------------------------------------------------------------------------


def test_the_counts_add_up_and_the_verdict_is_theirs() -> None:
    text = render(FOUND, AHEAD, [])
    assert "<strong>Nearly.</strong> Of 503 records 500 (99.40 %) are the same in" in re.sub(
        r"\s+", " ", text
    )
    assert FOUND.needs() == {
        "nothing": 500,
        "time": 0,
        "repair": 2,
        "person": 1,
        "waiting": 1,
        "outside": 1,
    }
    for said in (
        "2 are wrong and can be repaired",
        "1 needs a person",
        "edited in HR",
        "missing in HR",
        "only companies C1",
        "3 of them resumed",
    ):
        assert said in re.sub(r"\s+", " ", text), said
    good = findings([line("UA1", EQUAL), line("UA2", QUARANTINED, UNLINKED)])
    assert "<strong>Yes.</strong> The one record is the same in" in re.sub(
        r"\s+", " ", render(good, None, [])
    )
    bad = findings([line("UA1", EQUAL), line("UA2", MISSING, REMOVED)])
    assert "<strong>No.</strong>" in render(bad, None, [])


class Loaded(HTMLParser):
    """What a page would load, and its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.urls += [
            str(value)
            for name, value in attrs
            if name in ("src", "srcset") or (tag == "link" and name == "href")
        ]


def test_it_loads_nothing_and_names_are_no_code() -> None:
    text = render(FOUND, AHEAD, ["rows.csv"])
    page = Loaded()
    page.feed(text)
    assert page.urls
    assert all(url.startswith("data:image/svg+xml;base64,") for url in page.urls)
    assert page.scripts == 1
    assert "alert(&#39;x&#39;)" in text
    assert "url(" not in text
    assert "@import" not in text


def test_beside_it_are_all_tables_as_csv_and_parquet(tmp_path: Path) -> None:
    written = write(Folder(str(tmp_path)), FOUND, AHEAD)
    folder = tmp_path / "2026-03-31-awards_to_hr-20260402T090000"
    assert Path(written.page).read_text().startswith("<!doctype html>")
    rows = pd.read_csv(folder / "rows.csv")
    assert len(rows) == len(pd.read_parquet(folder / "rows.parquet")) == 505
    assert rows["class"].value_counts()["missing in HR"] == 1
    assert all(Path(name).exists() for name in written.files)
    assert pd.read_csv(folder / "differences.csv").loc[0, "target"] == NASTY


def test_reports_are_kept_for_a_while(tmp_path: Path) -> None:
    home = Folder(str(tmp_path))
    written = write(home, FOUND, None)
    home.below("lists").write("team.txt", b"u1")
    home.below("work/old").note("began", {"at": (NOW - timedelta(days=2)).isoformat()})
    home.below("work/new").note("began", {"at": NOW.isoformat()})
    assert prune_reports(home, NOW - timedelta(days=1)) == 0
    assert home.below("work").names() == ["new"]
    assert Path(written.page).exists()
    assert prune_reports(home, NOW + timedelta(seconds=1)) == 1
    assert home.names() == ["lists", "work"]


def test_unfinished_work_without_a_note_goes_only_when_it_is_old(tmp_path: Path) -> None:
    """Work that has just begun has no note yet: its folder and a temporary file come first."""
    home, now = Folder(str(tmp_path)), datetime.now(UTC)
    home.below("work/begun").write("part-000.parquet", b"")
    (tmp_path / "work" / "empty").mkdir()
    home.below("work").write("stray", b"")
    prune_reports(home, now - timedelta(days=1))
    assert home.below("work").names() == ["begun", "empty", "stray"]
    prune_reports(home, now + timedelta(days=1))
    assert home.below("work").names() == []


def test_a_report_that_cannot_be_deleted_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Folder(str(tmp_path))
    report = Path(write(home, FOUND, None).page).parent
    monkeypatch.chdir(report)
    with pytest.raises(ValueError, match="current working directory"):
        prune_reports(home, NOW + timedelta(seconds=1))


# -- how it looks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, where there is one."""
    import shutil

    found = next(
        (
            path
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (path := shutil.which(name))
        ),
        None,
    )
    if found is None:
        pytest.skip("no Chromium is installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return "file://" + write(Folder(str(tmp_path_factory.mktemp("report"))), FOUND, AHEAD).page


@pytest.mark.parametrize("width", [1280, 390])
def test_an_accessibility_checker_finds_nothing_and_nothing_is_cut_off(
    browser: Any, page_url: str, width: int
) -> None:
    """axe-core, all rules that it runs by default (WCAG 2 A and AA, and best practices)."""
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(page_url)
    found = Axe().run(page).response
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20, "it has looked"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_is_sorted_by_its_heads(browser: Any, page_url: str) -> None:
    page = browser.new_page()
    page.goto(page_url)
    table = page.locator("table").first
    head = table.locator("th button", has_text="Records")
    first = "document.querySelector('tbody tr td').textContent"
    head.click()
    head.click()
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert page.evaluate(first) == "equal"
    assert page.locator("#said").text_content() == "Sorted by Records, descending"
    head.press("Enter")
    assert page.evaluate(first) != "equal", "with the keyboard too"


def test_on_paper_nothing_is_lost(browser: Any, page_url: str) -> None:
    page = browser.new_page(viewport={"width": 720, "height": 1000})
    page.goto(page_url)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert page.locator(".arrow").first.is_hidden()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_no_cell_of_a_reports_files_is_a_formula() -> None:
    table = of(
        {"name": "text", "rows": "number"},
        [('=HYPERLINK("http://x.example")', -1), ("+44 1539 555001 ext 12", 2), (None, 3)],
    )
    assert csv_of(table).decode("utf-8-sig").splitlines()[1:] == [
        '"\'=HYPERLINK(""http://x.example"")",-1',
        '"+44 1539 555001 ext 12",2',
        ",3",
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
    ids=str,
)
def test_no_text_is_a_formula_whatever_its_arrow_type(kind: pa.DataType) -> None:
    table = frame({"name": pa.array(["=1+1", None, "Jo Lee"]).cast(kind)})
    assert csv_of(table).decode("utf-8-sig").splitlines()[1:] == ['"\'=1+1"', "", '"Jo Lee"']


def test_a_job_role_that_requires_no_award_has_no_percentage() -> None:
    counts = {"day": "day", "role": "text", "required": "number", "compliant": "number"}
    idle = of(counts, [(DAY, "Idle role", 0, 0), (DAY, "Welder", 4, 3)])
    page = render(FOUND, replace(AHEAD, compliance=idle), [])
    row = page.partition("<tr><td>Idle role</td>")[2].partition("</tr>")[0]
    assert row.count("–") == 3
    assert "%" not in row


def test_lists_of_people_go_when_they_were_last_written_before_the_edge(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)  # type: ignore[call-arg]
    name, same = (keep_list(settings, ["jasmit", "anaber"]) for _ in range(2))
    assert name != same, "nobody finds out from the name whose IDs they are"
    home = Folder(settings.history_folder)
    assert home.below("lists").text(f"{name}.txt") == "anaber\njasmit"
    prune_reports(home, datetime.now(UTC) - timedelta(days=1))
    assert home.below("lists").names() == sorted([f"{name}.txt", f"{same}.txt"])
    prune_reports(home, datetime.now(UTC) + timedelta(days=1))
    assert home.below("lists").names() == []


def test_somebody_who_is_forgotten_is_in_no_report_and_the_others_are(tmp_path: Path) -> None:
    home = Folder(str(tmp_path))
    name = write(home, FOUND, AHEAD).page.rpartition("/")[0].rpartition("/")[2]
    home.below("lists").write("odd.txt", b"E1\nE2")
    home.below("lists").write("alone.txt", b"e1")
    home.below("work/abc").note("began", {"at": NOW.isoformat(), "who": "E1"})
    told = forget(home, Person.of([], ["E1"], ["UA500"], [NASTY]))
    report = home.below(name)
    page = report.text("report.html") or ""
    assert told.rows > 2
    assert ("UA500" in page, "UA501" in page, "Ann Example" in page) == (False, True, True)
    for table in ("rows", "differences", "next-to-lapse"):
        text = (report.text(f"{table}.csv") or "") + str(report.frame(table).to_dict("records"))
        assert not re.search(r"UA500\b|\bE1\b", text), table
    assert "UA501" in str(report.frame("rows").to_dict("records"))
    assert home.below("lists").names() == ["odd.txt"]
    assert home.below("lists").text("odd.txt") == "E2"
    assert home.below("work").names() == []

"""When deployments are due: by one rule, and also in the nights when the clocks change."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import anyio
import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from flows.catalogue import FLOWS
from flows.schedules import FILE, crons, rewritten

DEPLOYMENTS = yaml.safe_load(FILE.read_text())["deployments"]
SCHEDULES = [(d["name"], s) for d in DEPLOYMENTS for s in d.get("schedules", ())]
NIGHTS = (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC))


@pytest.mark.parametrize("night", NIGHTS, ids=["spring", "autumn"])
@pytest.mark.parametrize(
    ("name", "schedule"),
    SCHEDULES,
    ids=lambda value: value if isinstance(value, str) else value["cron"],
)
def test_each_schedule_goes_on_while_the_clocks_change(
    name: str, schedule: dict[str, str], night: datetime
) -> None:
    cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    found = [
        datetime.fromtimestamp(moment.timestamp(), UTC)
        for moment in anyio.run(lambda: cron.get_dates(60, start=night))
    ]
    pauses = {later - earlier for earlier, later in itertools.pairwise(found)}
    if schedule["cron"].split()[1] == "*":
        assert max(pauses) <= timedelta(hours=1)
        assert len(pauses) <= 2, "as regular as on any other day"
    else:
        local = {moment.astimezone(ZoneInfo("Europe/London")).strftime("%H:%M") for moment in found}
        assert len(local) == 1, "at the same hour of the day"
        assert all(pause.days in (0, 1, 6, 7) for pause in pauses)


def test_prefect_yaml_has_the_computed_crons() -> None:
    assert {s["slug"]: s["cron"] for _, s in SCHEDULES} == crons(), "python -m flows.schedules"
    text = FILE.read_text()
    assert rewritten(text) == text
    assert rewritten(text.replace("2 3 * * 0", "0 0 * * 0")) == text
    assert rewritten(
        text.replace("users-to-hr-every-5-minutes", "users-to-hr-every-7-minutes")
    ) == (text), "an entry whose interval has changed since"


def test_sweeps_begin_alone_and_few_of_the_others_together() -> None:
    """On a Sunday, which has the sweeps as well."""
    sunday = datetime(2026, 11, 29, tzinfo=UTC)
    nightly: dict[datetime, list[str]] = defaultdict(list)
    frequent: dict[datetime, list[str]] = defaultdict(list)
    for name, schedule in SCHEDULES:
        cron = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        every_hour = schedule["cron"].split()[1] == "*"
        for moment in anyio.run(cron.get_dates, 2000, sunday, sunday + timedelta(days=1)):
            (frequent if every_hour else nightly)[moment].append(name)
    assert {len(names) for names in nightly.values()} == {1}
    assert len(nightly) == len(FLOWS), "a sweep of each flow but one, and the nightly retention"
    assert all(name not in frequent[moment] for moment, (name,) in nightly.items())
    # Their minutes are computed from their names, so a new flow may meet some others.
    assert max(map(len, frequent.values())) <= len(FLOWS) / 2


def test_a_flow_without_an_entry_gets_one_like_the_others() -> None:
    text = FILE.read_text()
    start, end = (
        text.index("  - name: delegates-to-hr\n"),
        text.index("  - name: award-targets-to-hr\n"),
    )
    (entry,) = [d for d in DEPLOYMENTS if d["name"] == "delegates-to-hr"]
    written = yaml.safe_load(rewritten(text[:start] + text[end:]))["deployments"]
    (found,) = [d for d in written if d["name"] == "delegates-to-hr"]
    assert found.pop("description").startswith("Loads registrations onto courses")
    assert found.pop("tags") == ["accessplanit-to-hr", "registrations"]
    assert found == {k: v for k, v in entry.items() if k not in ("description", "tags")}

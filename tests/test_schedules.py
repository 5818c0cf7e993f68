"""When deployments are due: also in the nights when the clocks change."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

DEPLOYMENTS = yaml.safe_load((Path(__file__).parent.parent / "prefect.yaml").read_text())[
    "deployments"
]
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

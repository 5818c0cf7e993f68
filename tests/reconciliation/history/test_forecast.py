"""What expires, and how compliance goes on if nothing happens."""

from __future__ import annotations

from datetime import date

from reconciliation.history.forecast import expiring, forecast, months, over_time
from tests.company import AHEAD, DAY, NASTY, company


def test_expiry_is_counted_by_name_and_each_number_holds_those_before_it() -> None:
    assert AHEAD.by_award.to_dict("records") == [{"name": "Award A1", "30": 10, "60": 10, "90": 10}]
    assert {r["name"]: r["30"] for r in AHEAD.by_company.to_dict("records")} == {
        "Acme": 5,
        NASTY: 5,
    }
    awards, *_, people, _ = company()
    by = people.rename(columns={"company_name": "name"})[["employee_id", "name"]]
    shifted = expiring(awards, by, date(2026, 3, 10))
    assert {r["name"]: (r["30"], r["60"]) for r in shifted.to_dict("records")} == {
        "Acme": (0, 5),
        NASTY: (0, 5),
    }
    assert len(expiring(awards, by, date(2024, 1, 1))) == 0


def test_of_chosen_people_only_they_count() -> None:
    awards, requirements, assignments, targets, people, labels = company()
    two = people.iloc[[0, 9]].reset_index(drop=True)
    found = forecast(awards, requirements, assignments, targets, two, labels, DAY)
    now = found.compliance[found.compliance["day"] == DAY].to_dict("records")
    assert [(row["required"], row["compliant"]) for row in now] == [(4, 3)]
    assert set(found.lapses["employee_id"]) == {"E0", "E9"}
    assert found.by_award.to_dict("records") == [{"name": "Award A1", "30": 2, "60": 2, "90": 2}]


def test_compliance_over_time_goes_down_if_nothing_happens() -> None:
    awards, requirements, assignments, targets, *_ = company()
    found = over_time(
        requirements,
        assignments,
        awards,
        targets,
        [date(2025, 3, 1), DAY, date(2026, 4, 15), date(2027, 2, 1)],
    )
    assert found["compliant"].tolist() == [0, 19, 14, 0]
    assert found["required"].tolist() == [20] * 4
    assert AHEAD.lapses["expires_on"].tolist() == sorted(AHEAD.lapses["expires_on"].tolist())
    assert AHEAD.lapses.iloc[0][["employee_id", "name"]].tolist() == ["E0", "Ann Example0"]
    assert months(date(2026, 3, 31), 1, 1) == [
        date(2026, 2, 28),
        date(2026, 3, 31),
        date(2026, 4, 30),
    ]

"""Each change has its receipt, and a bad row is blamed alone."""

from __future__ import annotations

from reconciliation.frame import concat
from reconciliation.receipts import RECEIPTS

from .people import People, bad, somebody
from .stands import Stand


def test_receipts_are_one_for_each_change_in_their_order(people: People) -> None:
    people.write(somebody("E2"), somebody("E4"))
    changes = people.plan(*(somebody(f"E{n}", job_title="Rigger") for n in range(1, 6))).changes
    receipts = people.system.apply("employees", changes)
    assert list(receipts.columns) == list(RECEIPTS)
    assert receipts["key"].tolist() == changes["key"].tolist()
    assert receipts["outcome"].tolist() == ["created", "updated", "created", "updated", "created"]
    assert receipts["reason"].isna().all()


def test_no_changes_are_no_receipts(people: People) -> None:
    receipts = people.system.apply("employees", people.plan().changes)
    assert (list(receipts.columns), len(receipts)) == (list(RECEIPTS), 0)


def test_many_rows_go_through_in_batches(people: People) -> None:
    count = min(people.system.batch + 7, 120)
    everybody = [somebody(f"E{n:03}") for n in range(count)]
    assert {outcome for _, outcome in people.write(*everybody)} == {"created"}
    assert people.system.population("employees") == len(people.read()) == count


def test_of_a_key_that_comes_twice_in_a_batch_the_last_counts(people: People) -> None:
    one, other = (people.plan(somebody(job_title=title)).changes for title in ("Welder", "Rigger"))
    receipts = people.system.apply("employees", concat([one, other]))
    assert receipts["outcome"].tolist() == ["created", "updated"]
    assert people.read()["E1"]["job_title"] == "Rigger"
    assert people.system.population("employees") == 1


def test_a_create_that_is_sent_again_meets_itself(people: People, stand: Stand) -> None:
    changes = people.plan(somebody()).changes
    people.system.apply("employees", changes)
    again = stand.open()
    assert again.apply("employees", changes)["outcome"].tolist() == ["updated"], (
        "what is there is not created, and the receipt says so"
    )
    assert again.population("employees") == 1


def test_a_bad_row_is_blamed_and_its_neighbours_are_loaded(people: People) -> None:
    people.write(somebody("E2"))
    others = [somebody(f"E{n}") for n in (1, 3, 4, 6, 7)]
    outcomes = dict(people.write(*others, bad(people.system)))
    assert outcomes == {**{f"E{n}": "created" for n in (1, 3, 4, 6, 7)}, "E5": "failed"}
    assert set(people.read()) == {"E1", "E2", "E3", "E4", "E6", "E7"}


def test_law_10_the_reason_of_a_failure_holds_nothing_of_the_person(people: People) -> None:
    people.write(somebody("E2"))
    people.write(bad(people.system) | {"forenames": "Unmistakable"})
    (reason,) = people.reasons
    assert reason
    assert "Unmistakable" not in reason
    assert "hr.example" not in reason


def test_a_mended_row_goes_through(people: People) -> None:
    people.write(somebody("E2"))
    people.write(bad(people.system))
    assert people.write(somebody("E5")) == [("E5", "created")]

"""The summary of a run in one line."""

from __future__ import annotations

from reconciliation.report import OUTCOMES, one_line_summary


def test_the_counts_of_the_summary_add_up_and_read_as_words() -> None:
    outcomes = dict.fromkeys(OUTCOMES, 0)
    assert one_line_summary(0, outcomes) == "0 rows read: nothing to do"
    outcomes |= {"updated": 1, "out_of_scope": 3}
    assert one_line_summary(4, outcomes) == "4 rows read: 1 updated, 3 out of scope"
    outcomes |= {"closed": 5}
    assert (
        one_line_summary(4, outcomes)
        == "4 rows read and 5 compared again: 1 updated, 5 closed, 3 out of scope"
    )

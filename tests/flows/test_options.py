"""Filters that are given as texts."""

from __future__ import annotations

import pytest

from flows.awards_to_hr import Filters
from reconciliation.errors import WrongInput


def test_lists_are_given_with_commas_or_in_several_texts() -> None:
    assert Filters.of_texts(["awards=A1,A2", "awards=A3"]).awards == ["A1", "A2", "A3"]


def test_an_empty_list_means_all() -> None:
    assert Filters.of_texts(["awards="]) == Filters()


def test_a_single_value_is_given_once() -> None:
    assert Filters.of_texts(["expiring_within_days=30"]).expiring_within_days == 30
    with pytest.raises(WrongInput, match="'expiring_within_days' is given twice"):
        Filters.of_texts(["expiring_within_days=30", "expiring_within_days=60"])


def test_a_text_without_a_value_is_refused_and_not_repeated() -> None:
    with pytest.raises(
        WrongInput, match=r"A filter has no value\. Give each as NAME=VALUE"
    ) as told:
        Filters.of_texts(["jasmit"])
    assert "jasmit" not in str(told.value)

"""Prepares both sides as of a day for the comparison, and settles everything that needs no
comparison."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..aligned import align
from ..frame import concat, empty
from ..plan import DERIVED
from ..run.compare import Sides
from ..spec import AwardStates, ProcessSpec
from ..tables import TEXT, looked_up
from ..translate import alike_of
from . import as_of, settled
from .causes import EXPLAINED
from .classes import EQUAL, classify
from .context import Background, Context
from .inquiry import Inquiry, business_day
from .selection import in_period, only_asked_about


@dataclass(frozen=True)
class Comparison:
    """Both sides, ready to compare, and what is settled already.

    Every record and row is in ``settled``, or in ``expected``, ``actual`` or both.
    """

    expected: pd.DataFrame
    """The rows that the target should hold on the day, with ``source_key`` and ``moment`` (of the
    record's last change)."""
    actual: pd.DataFrame
    """The rows that it holds."""
    settled: pd.DataFrame
    """``causes.EXPLAINED`` of the records and rows that are not compared."""
    theirs: pd.Series[str]
    """Keys whose target row is right under the ownership rules, whatever the source's value."""


def comparison(
    spec: ProcessSpec, inquiry: Inquiry, matched: Sides, back: Background, zone: str
) -> Comparison:
    """Separates what has to be compared from what is settled already. Pure.

    The order matters: each step works on the rows that the steps before have left.
    """
    context = Context(spec, inquiry, matched, back, inquiry.end(zone))
    key = context.key
    expected = _by_the_source(spec, matched.wanted, matched.decided.wanted)
    waiting = concat([empty(EXPLAINED), *settled.waiting(context)])
    expected, actual = as_of.as_it_was(context, expected, context.rows)
    later = as_of.later(context, expected, actual)
    done = concat([waiting, settled.outside(context), later, settled.candidates(context)])
    taken = expected["source_key"].isin(done["source_key"].dropna())
    expected = expected[~taken].reset_index(drop=True)
    beside = actual[_stays(context, expected, actual, waiting)]
    actual = actual[~actual[key].isin(done["key"].dropna())].reset_index(drop=True)
    if spec.rule(AwardStates):
        expected, actual = as_of.with_states(context, expected, actual, beside)
    closed = settled.closed(context, expected, actual)
    actual = actual[~actual[key].isin(closed["key"])].reset_index(drop=True)
    foreign = settled.foreign(context, expected, actual)
    actual = actual[~actual[key].isin(foreign["key"])].reset_index(drop=True)
    expected = expected.assign(moment=as_of.changed_at(context, expected["source_key"]))
    done = concat([done, closed, foreign])
    expected, actual, done = only_asked_about(context, expected, actual, done)
    return Comparison(expected, actual, done, _theirs(context, actual))


def arrived_since(spec: ProcessSpec, compared: Comparison, now: pd.DataFrame) -> pd.Series[str]:
    """Returns the keys of the rows that are right ``now`` (rows of the target), whatever they were
    at the inquiry's moment of knowledge. States of awards are not compared."""
    names = [name for name in spec.compared() if name not in DERIVED]
    classified = classify(compared.expected, now, spec.entity_key, names, alike_of(spec))
    return classified.loc[classified["class"] == EQUAL, "key"]


def _by_the_source(spec: ProcessSpec, wanted: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """Returns ``wanted`` as the source alone would have it. An empty source value that does not
    clear keeps the target's value (from ``decided``)."""
    wanted = wanted[wanted["source_key"].isin(decided["source_key"])].reset_index(drop=True)
    kept = [f.target for f in spec.fields if f.owner == "source" and not f.clears]
    if not kept:
        return wanted
    values = looked_up(wanted["source_key"], decided[["source_key", *kept]], "source_key")
    return wanted.assign(**{name: wanted[name].fillna(values[name]) for name in kept})


def _stays(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, waiting: pd.DataFrame
) -> pd.Series[bool]:
    """Returns the mask of target rows that still count in their award's group although they are
    not compared: their record is unreadable or held, or outside the inquiry's period."""
    stays = actual[context.key].isin(waiting["key"].dropna())
    day = business_day(context.spec)
    if context.inquiry.period and day:
        _, day_column = day
        not_expected = ~actual[context.key].isin(expected[context.key])
        stays |= not_expected & ~in_period(context.inquiry, actual[day_column])
    return stays


def _theirs(context: Context, actual: pd.DataFrame) -> pd.Series[str]:
    """Returns the keys of rows that equal the decided values, in which the target's value may count
    instead of the source's."""
    spec, wanted = context.spec, context.matched.decided.wanted
    if spec.pair is None:
        return pd.Series(dtype=TEXT)
    compared = [name for name in spec.compared() if name in wanted]
    aligned = align(wanted, actual, context.key, compared, alike_of(spec))
    keys: pd.Series[str] = wanted[context.key].iloc[aligned.ours[~aligned.touched]]
    return keys

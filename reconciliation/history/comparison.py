"""The two sides as of a day, ready to be compared; and everything that is decided before."""

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
    """Every record and row is in exactly one of the frames, or in both of the first two."""

    expected: pd.DataFrame
    """What the target should hold on the day, with ``source_key`` and ``moment`` (of the record's
    last change)."""
    actual: pd.DataFrame
    """What it holds."""
    settled: pd.DataFrame
    """``causes.EXPLAINED`` of all that is not compared."""
    theirs: pd.Series[str]
    """Keys whose target row is as both sides' rules want it."""


def comparison(
    spec: ProcessSpec, inquiry: Inquiry, matched: Sides, back: Background, zone: str
) -> Comparison:
    """What has to be compared, and all that is decided without. Pure."""
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
    """Keys of the rows that are right ``now``, whatever they were at the moment of knowledge."""
    names = [name for name in spec.compared() if name not in DERIVED]
    found = classify(compared.expected, now, spec.entity_key, names, alike_of(spec))
    return found.loc[found["class"] == EQUAL, "key"]


def _by_the_source(spec: ProcessSpec, wanted: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """``wanted`` as the source alone would have it, except that an empty value the source owns
    keeps the target's."""
    wanted = wanted[wanted["source_key"].isin(decided["source_key"])].reset_index(drop=True)
    kept = [f.target for f in spec.fields if f.owner == "source" and not f.clears]
    if not kept:
        return wanted
    found = looked_up(wanted["source_key"], decided[["source_key", *kept]], "source_key")
    return wanted.assign(**{name: wanted[name].fillna(found[name]) for name in kept})


def _stays(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, waiting: pd.DataFrame
) -> pd.Series[bool]:
    """Which rows still stand beside the others of their group, as the target knows them: of what
    is unreadable or held, or what the inquiry is not about."""
    stays = actual[context.key].isin(waiting["key"].dropna())
    day = business_day(context.spec)
    if context.inquiry.period and day:
        not_expected = ~actual[context.key].isin(expected[context.key])
        stays |= not_expected & ~in_period(context.inquiry, actual[day[1]])
    return stays


def _theirs(context: Context, actual: pd.DataFrame) -> pd.Series[str]:
    """Keys of rows that are as they should be, though the source has another value: the target's
    counts."""
    spec, wanted = context.spec, context.matched.decided.wanted
    if spec.pair is None:
        return pd.Series(dtype=TEXT)
    compared = [name for name in spec.compared() if name in wanted]
    found = align(wanted, actual, context.key, compared, alike_of(spec))
    keys: pd.Series[str] = wanted[context.key].iloc[found.ours[~found.touched]]
    return keys

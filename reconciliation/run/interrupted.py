"""Finds out which changes of an interrupted run or a stored plan the target already has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from reconciliation.frame import concat, empty
from reconciliation.match import PROVISIONAL, by_rules
from reconciliation.plan import Plan
from reconciliation.ports import Batch, Store, Target
from reconciliation.receipts import found_out
from reconciliation.spec import MatchRule, ProcessSpec
from reconciliation.tables import DTYPES

from .comparison import links_of, values
from .context import Run
from .rows import asked_by_rules, compares_to_the_letter


def settle_interrupted(run: Run) -> int:
    """Writes the receipts of changes that an interrupted run was about to send, as the target shows
    them. Returns the number of changes that were checked."""
    checked = 0
    for intent, plan in run.store.open_intents(run.spec.name):
        columns = {n: kind for n, kind in run.spec.columns().items() if n in plan.before.columns}
        # The row of a forgotten person is empty. It stays in ``plan`` because an intent names its
        # changes by position, but there is nothing to ask about it.
        not_forgotten = plan.changes["key"].notna()
        to_check = replace(plan, changes=plan.changes[not_forgotten].reset_index(drop=True))
        present = as_it_is(run.spec, to_check, columns, run.target, run.store)
        if not present.complete:
            continue  # The intent stays open, and the next run asks again.
        receipts = found_out(to_check, present.rows, run.spec.entity_key, columns)
        batch = Batch(intent, plan.changes, receipts)
        run.store.receive(run.id, run.spec, batch, run.world.clock())
        checked += len(to_check.changes)
    return checked


@dataclass(frozen=True)
class Present:
    """The part of the target that a plan is about, as it is now."""

    rows: pd.DataFrame
    """The target's rows. A created row may have received a new key from the target. It is listed
    under the provisional key that we asked for; the column ``given`` has the new key."""
    needless: list[str]
    """Keys of creates that must not be sent: the target already has a row for them under another
    key, or has rows that may be theirs."""
    complete: bool
    """Whether the target could be read in full."""


def as_it_is(
    spec: ProcessSpec, plan: Plan, columns: dict[str, str], target: Target, store: Store
) -> Present:
    """Reads the target's rows that a plan is about.

    Rows that the plan creates may be in the target under a key that we do not know. They are found
    by the match rules of the process, like any other row.
    """
    key = spec.entity_key
    creates = plan.changes[plan.changes["kind"] == "create"].reset_index(drop=True)
    current = target.read(spec.entity, columns, {key: values(plan.changes["key"])})
    made = already_made(spec, creates, target, store)
    # The target has given keys of its own to these creates.
    renamed = made.rows["key"].str.startswith(PROVISIONAL).fillna(False).astype(bool)
    renamed &= ~made.rows["key"].isin(current.frame[key])
    rows = current.frame
    if renamed.any():
        under_asked_keys = _under_asked_keys(spec, columns, target, made.rows[renamed])
        no_key_given = pd.Series(pd.NA, index=rows.index, dtype=DTYPES["text"])
        rows = concat([rows.assign(given=no_key_given), under_asked_keys])
    # These creates name a key, and yet a row with another key matches them.
    others = made.rows[~renamed & (made.rows["key"] != made.rows["given"])]
    needless = [*(str(name) for name in others["key"]), *made.unclear]
    return Present(rows, needless, current.complete and made.complete)


def _under_asked_keys(
    spec: ProcessSpec, columns: dict[str, str], target: Target, made: pd.DataFrame
) -> pd.DataFrame:
    """Reads rows by the keys that the target gave them, and lists them under the provisional keys
    that we asked for. ``made`` has the columns of :attr:`Made.rows`."""
    key = spec.entity_key
    rows = target.read(spec.entity, columns, {key: values(made["given"])}).frame
    both_keys = rows.merge(made, left_on=key, right_on="given", suffixes=("", "_asked"))
    return both_keys.assign(**{key: both_keys["key"]})[[key, *columns, "given"]]


class Made(NamedTuple):
    """The creates that must not be sent, because the target already has rows for them."""

    rows: pd.DataFrame
    """``key`` of the create, and ``given``: the key of the target's row that matches it."""
    unclear: list[str]
    """Keys of creates that the match rules hold: the target has rows that may be theirs, but it is
    not clear which."""
    complete: bool
    """Whether the target could be read in full."""


def already_made(spec: ProcessSpec, creates: pd.DataFrame, target: Target, store: Store) -> Made:
    """Finds the ``creates`` (changes of a plan) whose rows the target already has.

    It applies the match rules of the process to the values that the creates would write.
    """
    rules = tuple(rule for rule in spec.match if _applies(rule, spec, creates))
    if not len(creates) or not rules:
        return Made(empty({"key": "text", "given": "text"}), [], True)
    spec = spec.model_copy(update={"match": rules})
    data, wanted = _as_records(spec, creates)
    look_ups = None  # All rows, because a look-up might miss another spelling.
    if not compares_to_the_letter(spec):
        asked = asked_by_rules(spec, data, wanted)
        look_ups = {name: values(column) for name, column in asked.items()}
    read = target.read(spec.entity, spec.columns(), look_ups)
    target_keys = read.frame[spec.entity_key]
    links = links_of(store, spec, None, values(target_keys))
    # First pass: all creates against all rows. The rules hold the creates without a key.
    first = by_rules(spec, data, wanted, read.frame, links)
    is_held = first.keys.isna()
    # Second pass: the held creates against the rows that no create has matched. A matched row was
    # probably made by this plan. The plan knew of both people and decided to create both, so that
    # row alone is no reason to hold the other one, who may have the same mailbox. What is still
    # held now has another rival in the target.
    other_rows = read.frame[~target_keys.isin(first.keys.dropna())]
    second = by_rules(spec, data[is_held], wanted[is_held], other_rows, links)
    unclear = creates.loc[is_held, "key"].reset_index(drop=True)[second.keys.isna()]
    matches = pd.DataFrame({"key": creates["key"], "given": first.keys})
    # A key that the target does not have is only the rules' proposal for a new row.
    made = matches[matches["given"].isin(target_keys)].reset_index(drop=True)
    return Made(made, [str(key) for key in unclear], read.complete)


def _applies(rule: MatchRule, spec: ProcessSpec, creates: pd.DataFrame) -> bool:
    """Whether the creates have the columns that the rule compares."""
    if rule.together:
        return set(rule.together) <= set(creates.columns)
    return rule.target in creates or rule.target == spec.entity_key


def _as_records(spec: ProcessSpec, creates: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reconstructs the source's records behind the creates, and the rows that the target should
    hold for them (``data`` and ``wanted`` of ``match.by_rules``).

    Only the columns that the match rules need are filled. The source's key is one of the written
    values if the target is HR; otherwise, or if it was not written, it is what follows ``new:`` in
    the provisional key.
    """
    no_values = pd.Series(pd.NA, index=creates.index, dtype=DTYPES["text"])
    data = {r.source: creates.get(r.target, no_values) for r in spec.match if r.source}
    if spec.natural_key:
        data.setdefault(spec.natural_key, no_values)
    own = data.get(spec.key, no_values) if spec.direction == "to_hr" else no_values
    data[spec.key] = own.fillna(creates["key"].str.removeprefix(PROVISIONAL))
    written = [name for name in spec.columns() if name in creates]
    return pd.DataFrame(data), creates[["key", *written]].rename(columns={"key": "source_key"})

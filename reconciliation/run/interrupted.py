"""What an interrupted run left open, and how the target shows what became of it."""

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
    """Asks the target about changes that an interrupted run was about to send, and writes down what
    became of them; returns how many."""
    rows = 0
    for intent, plan in run.store.open_intents(run.spec.name):
        columns = {n: kind for n, kind in run.spec.columns().items() if n in plan.before.columns}
        # Rows of somebody who was forgotten are empty, and keep the places of the others.
        known = plan.changes["key"].notna()
        asked = replace(plan, changes=plan.changes[known].reset_index(drop=True))
        now = as_it_is(run.spec, asked, columns, run.target, run.store)
        if not now.complete:
            continue
        receipts = found_out(asked, now.rows, run.spec.entity_key, columns)
        batch = Batch(intent, plan.changes, receipts)
        run.store.receive(run.id, run.spec, batch, run.world.clock())
        rows += len(asked.changes)
    return rows


@dataclass(frozen=True)
class Present:
    """The target, as far as a plan is about it."""

    rows: pd.DataFrame
    """Its rows. One that it was asked to make, and has given a key of its own, stands under the key
    that it was asked for by, with its own in the column ``given``."""
    needless: list[str]
    """Keys of creates that another row makes needless."""
    complete: bool
    """Whether all could be read."""


def as_it_is(
    spec: ProcessSpec, plan: Plan, columns: dict[str, str], target: Target, store: Store
) -> Present:
    """The target's rows that a plan is about. A row that was made is found by the rules by which
    any other row is found."""
    key = spec.entity_key
    creates = plan.changes[plan.changes["kind"] == "create"].reset_index(drop=True)
    current = target.read(spec.entity, columns, {key: values(plan.changes["key"])})
    made = already_made(spec, creates, target, store)
    provisional = made.rows["key"].str.startswith(PROVISIONAL).fillna(False).astype(bool)
    provisional &= ~made.rows["key"].isin(current.frame[key])
    rows = current.frame
    if provisional.any():
        standing = _under_asked_keys(spec, columns, target, made.rows[provisional])
        given = pd.Series(pd.NA, index=rows.index, dtype=DTYPES["text"])
        rows = concat([rows.assign(given=given), standing])
    others = made.rows[~provisional & (made.rows["key"] != made.rows["given"])]
    needless = [*(str(name) for name in others["key"]), *made.unclear]
    return Present(rows, needless, current.complete and made.complete)


def _under_asked_keys(
    spec: ProcessSpec, columns: dict[str, str], target: Target, made: pd.DataFrame
) -> pd.DataFrame:
    """The rows that the target has given keys, under the keys that they were asked for by."""
    key = spec.entity_key
    there = target.read(spec.entity, columns, {key: values(made["given"])}).frame
    standing = there.merge(made, left_on=key, right_on="given", suffixes=("", "_asked"))
    return standing.assign(**{key: standing["key"]})[[key, *columns, "given"]]


class Made(NamedTuple):
    """Which creates the target needs no more."""

    rows: pd.DataFrame
    """``key`` of the create, and ``given``: the key of the row that it would make again."""
    unclear: list[str]
    """Keys of creates that the match rules hold now: the target has rows for them, and it is not
    clear which."""
    complete: bool
    """Whether all could be read."""


def already_made(spec: ProcessSpec, creates: pd.DataFrame, target: Target, store: Store) -> Made:
    """Which of ``creates`` (changes of a plan) the target needs no more, by the process's own rules
    over what they would write."""
    rules = tuple(rule for rule in spec.match if _applies(rule, spec, creates))
    if not len(creates) or not rules:
        return Made(empty({"key": "text", "given": "text"}), [], True)
    spec = spec.model_copy(update={"match": rules})
    data, wanted = _as_records(spec, creates)
    asked = {name: values(column) for name, column in asked_by_rules(spec, data, wanted).items()}
    look_ups = None if compares_to_the_letter(spec) else asked
    found = target.read(spec.entity, spec.columns(), look_ups)
    there = found.frame[spec.entity_key]
    linked = links_of(store, spec, None, values(there))
    matched = by_rules(spec, data, wanted, found.frame, linked)
    unclear = matched.keys.isna()
    # What these creates have made is no news for the others, such as who has the same mailbox.
    others = found.frame[~there.isin(matched.keys.dropna())]
    again = by_rules(spec, data[unclear], wanted[unclear], others, linked)
    held = creates.loc[unclear, "key"].reset_index(drop=True)[again.keys.isna()]
    rows = pd.DataFrame({"key": creates["key"], "given": matched.keys})
    made = rows[rows["given"].isin(there)].reset_index(drop=True)
    return Made(made, [str(key) for key in held], found.complete)


def _applies(rule: MatchRule, spec: ProcessSpec, creates: pd.DataFrame) -> bool:
    """Whether what is written holds what the rule compares."""
    if rule.together:
        return set(rule.together) <= set(creates.columns)
    return rule.target in creates or rule.target == spec.entity_key


def _as_records(spec: ProcessSpec, creates: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The source's records that creates were made from, as far as they tell, and what the target
    should hold of them.

    In HR the source's key is among what is written; in accessplanit the provisional key names it.
    """
    nothing = pd.Series(pd.NA, index=creates.index, dtype=DTYPES["text"])
    data = {r.source: creates.get(r.target, nothing) for r in spec.match if r.source}
    if spec.natural_key:
        data.setdefault(spec.natural_key, nothing)
    own = data.get(spec.key, nothing) if spec.direction == "to_hr" else nothing
    data[spec.key] = own.fillna(creates["key"].str.removeprefix(PROVISIONAL))
    written = [name for name in spec.columns() if name in creates]
    return pd.DataFrame(data), creates[["key", *written]].rename(columns={"key": "source_key"})

"""Breaks the code on purpose, one mistake at a time, and looks whether the law that it breaks
notices.

``make mutants`` runs it and writes ``docs/laws.md``; it fails if a mistake goes unnoticed. Each
mistake is made in a copy.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = tuple(
    sorted(
        str(file.relative_to(ROOT))
        for file in (ROOT / "tests").rglob("test_*.py")
        if "def test_law_" in file.read_text()
    )
)
LAWS = {
    1: "Absent is never inferred from unreadable. An incomplete source closes nothing, an incomplete target creates nothing, a"
    " rejected row is there.",
    2: "A windowed read creates and updates. Closing comes from an explicit status or from a complete, verified sweep.",
    3: "After a plan is applied nothing is left to do; the order of rows changes nothing, not even the digest.",
    4: "A field that is not managed never changes; a carried field is no reason to write. What the other side owns is never"
    " overwritten; what both sides have changed is decided as declared, never by a coin.",
    5: "What comes back as it was written is no change; what is written can be read.",
    6: "Time is explicit: no change is lost while the clocks change, and an award expires by the day alone.",
    7: "A crash anywhere ends where an undisturbed run ends, with no row lost and none sent twice.",
    8: "Approval binds to a digest of the exact plan, and to HR as the plan saw it.",
    9: "Every row read ends in exactly one outcome; the counts add up. An odd value is read as what it says, or its row alone is rejected.",
    10: "Personal data stays in the two systems and the store; who is forgotten is forgotten wherever data is kept.",
    11: "A fault of the system is never a fault of the row: it ends or postpones the run and uses up no row's attempts.",
    12: "Who is who is decided over all rules together; candidates that disagree are held; a look-up finds whatever the match accepts.",
    13: "What one direction writes, the other looks at: no hash, mark or rest of its own hides it.",
    14: "Only who holds the lease writes, and a lease that has lapsed is never taken up again.",
    15: "A preview has no means to write: not to HR, not to an outbox, not to an inbox.",
    16: "A guard counts what the process answers for, not everything that the other system happens to hold.",
}
MUTANTS: list[tuple[int, str, str, str, str]] = [
    (
        1,
        "a joined feed that was not read in full is believed",
        "reconciliation/run/feed.py",
        "frame=rows, complete=read.complete and joined.complete",
        "frame=rows",
    ),
    (
        1,
        "an unreadable record is taken for absent",
        "reconciliation/sweep.py",
        'pd.concat([read.frame[key], read.rejected["key"].dropna()], ignore_index=True)',
        "read.frame[key]",
    ),
    (
        1,
        "a record without a key is not minded",
        "reconciliation/sweep.py",
        "answer.complete and whole.complete) or keyless",
        "answer.complete and whole.complete)",
    ),
    (
        1,
        "an incomplete read is believed",
        "reconciliation/sweep.py",
        "if not (answer.complete and whole.complete) or keyless:",
        "if keyless:",
    ),
    (
        1,
        "what is missing is not verified",
        "reconciliation/run/whole_feed.py",
        "gone = verified(suspects, answer, whole, spec.key)",
        "gone = suspects",
    ),
    (
        1,
        "an incomplete target gets creates",
        "reconciliation/plan.py",
        '_changes("create", new[~unseen], key, columns, "")',
        '_changes("create", new, key, columns, "")',
    ),
    (
        2,
        "every linked row that did not come is closed",
        "reconciliation/run/endings.py",
        "links = comparison.links(outside[spec.key])",
        "links = comparison.links()",
    ),
    (
        3,
        "the digest depends on the order of rows",
        "reconciliation/plan.py",
        'return part.sort_values("key", ignore_index=True)',
        "return part.reset_index(drop=True)",
    ),
    (
        3,
        "what is closed is closed again",
        "reconciliation/plan.py",
        "rows = leavers[~is_closed(leavers, closed, alike or {})]",
        "rows = leavers",
    ),
    (
        3,
        "a null is taken for equal to everything",
        "reconciliation/aligned.py",
        "differs |= np.asarray(pc.is_null(left)) != np.asarray(pc.is_null(right))",
        "pass",
    ),
    (
        4,
        "the upsert writes every column",
        "connectors/hr/sql.py",
        "changed = {name: insert.excluded[name] for name in names[1:]}",
        "changed = {c.name: c for c in insert.excluded if c.name not in names[:1]}",
    ),
    (
        4,
        "a carried field is a reason to write",
        "reconciliation/spec.py",
        "if not f.compare}",
        "if False}",
    ),
    (
        4,
        "what the other side owns is overwritten",
        "reconciliation/ownership.py",
        'theirs.notna() if field.owner == "target" else ours.isna()',
        "ours.isna()",
    ),
    (
        4,
        "a change of the other side alone is overwritten",
        "reconciliation/verdicts.py",
        '(agreed & ~facts["we_changed"], "keep")',
        '(agreed & ~facts["we_changed"], "write")',
    ),
    (
        4,
        "a conflict goes to whoever runs",
        "reconciliation/verdicts.py",
        '["write", "keep"], "hold"',
        '["write", "write"], "hold"',
    ),
    (5, "the time stamp is compared", "reconciliation/spec.py", "if not f.compare}", "if False}"),
    (
        6,
        "the hour that comes again is not minded",
        "reconciliation/frame.py",
        "return local.replace(tzinfo=None) - max(back, timedelta(0))",
        "return local.replace(tzinfo=None)",
    ),
    (
        6,
        "there is no overlap",
        "reconciliation/watermark.py",
        "mark.moment - overlap)",
        "mark.moment)",
    ),
    (
        6,
        "the hour that comes twice is read as the later one",
        "reconciliation/frame.py",
        'ambiguous="earliest"',
        'ambiguous="latest"',
    ),
    (
        6,
        "a date in the future moves the watermark there",
        "reconciliation/watermark.py",
        "min(read.frame[updated].max().to_pydatetime(), now)",
        "read.frame[updated].max().to_pydatetime()",
    ),
    (
        6,
        "an award expires a day early",
        "reconciliation/awards.py",
        'expired = (rows["expires_on"] < today)',
        'expired = (rows["expires_on"] <= today)',
    ),
    (
        7,
        "the fate of open intents is not asked for",
        "reconciliation/run/interrupted.py",
        "for intent, plan in run.store.open_intents(run.spec.name):",
        "for intent, plan in []:",
    ),
    (
        7,
        "an intent is not closed by its receipts",
        "connectors/store/ledger.py",
        ".values(closed=naive(now))",
        ".values(closed=None)",
    ),
    (
        7,
        "receipts are not written with the watermark",
        "connectors/store/sql.py",
        "            if last is not None:\n                self.enter(",
        "            if False:\n                self.enter(",
    ),
    (
        7,
        "the receipts of a batch are not written before the next one",
        "reconciliation/run/load.py",
        "            store.receive(run.id, spec, last, clock())\n",
        "            pass\n",
    ),
    (
        8,
        "the digest does not see what is replaced",
        "reconciliation/digest.py",
        "for part in (changes, before):\n        for name in part.columns:",
        "for part in (changes,):\n        for name in part.columns:",
    ),
    (
        8,
        "null and blank have one digest",
        "reconciliation/digest.py",
        "pc.fill_null(pc.binary_length(column), -1)",
        "pc.fill_null(pc.binary_length(column), 0)",
    ),
    (
        8,
        "a row that has appeared meanwhile is overwritten",
        "reconciliation/plan.py",
        "return pd.concat([changed, creates[creates.isin(current[key])]], ignore_index=True)",
        "return changed",
    ),
    (
        9,
        "rows withheld from an incomplete HR are not counted",
        "reconciliation/settle.py",
        "self.held = concat([compared.held, unsure])",
        "self.held = compared.held",
    ),
    (
        9,
        "rows resting in quarantine are not counted",
        "reconciliation/settle.py",
        'len(compared.rejected) + figures["resting"]',
        "len(compared.rejected)",
    ),
    (
        9,
        "rows that were not tried are not counted",
        "reconciliation/settle.py",
        'counts.pop("untried", 0)',
        '0 * counts.pop("untried", 0)',
    ),
    (
        9,
        "rows whose record is gone are not counted",
        "reconciliation/settle.py",
        ".sum()) + len(self.compared.reported)",
        ".sum())",
    ),
    (
        10,
        "an unforeseen exception is passed on",
        "reconciliation/discreet.py",
        "            raise without_data(error) from None\n",
        "            raise\n",
    ),
    (
        10,
        "an unforeseen exception of a run is passed on",
        "reconciliation/run/entrance.py",
        "known = error if isinstance(error, HrsyncError) else without_data(error)",
        "known = error",
    ),
    (
        10,
        "a driver's message becomes the reason",
        "reconciliation/run/load.py",
        "({type(error).__name__})",
        "({error})",
    ),
    (
        1,
        "somebody who cannot be seen has lost everything",
        "reconciliation/run/whole_feed.py",
        "return gone[~gone.isin(kept)]",
        "return gone",
    ),
    (
        12,
        "a weak identifier overrules a strong one",
        "reconciliation/candidates.py",
        "each = each[~contradictions(spec, data, target, each, own=False)]",
        "pass",
    ),
    (
        12,
        "candidates need not agree",
        "reconciliation/candidates.py",
        'single = unanimous[~unanimous["source"].duplicated(keep=False)]',
        'single = unanimous[~unanimous["source"].duplicated()]',
    ),
    (
        12,
        "of several rules only the last is asked for",
        "reconciliation/run/rows.py",
        "asked.setdefault(rule.target, []).append(data[rule.source])",
        "asked[rule.target] = [data[rule.source]]",
    ),
    (
        12,
        "a look-up is exact",
        "connectors/hr/sql.py",
        "return sa.func.lower(column).in_(plain) | odd | (",
        "return column.in_(values) | (",
    ),
    (
        13,
        "what was written is known to the other direction",
        "connectors/store/sql.py",
        "self.show_opposite(connection, spec, settled.written, now)",
        "pass",
    ),
    (
        13,
        "a sweep goes on with what it read before the other direction wrote",
        "connectors/store/sweeps.py",
        "i.process.in_([spec.name, spec.opposite or spec.name])",
        "i.process == spec.name",
    ),
    (
        13,
        "an agreement is recorded for rows that are held",
        "reconciliation/run/compare.py",
        'both.decided.agreed[both.decided.agreed["row"].isin(goal.wanted[comparison.key])]',
        "both.decided.agreed",
    ),
    (
        16,
        "a guard counts the rows of others",
        "reconciliation/guard.py",
        "ours = population if answered_for is None else answered_for",
        "ours = population",
    ),
    (
        16,
        "a small process may close everything",
        "reconciliation/guard.py",
        "rows >= FEW and rows * 2 >= whole",
        "False",
    ),
    (
        16,
        "an empty feed is believed",
        "reconciliation/guard.py",
        "return 0 < vanished == loaded or (",
        "return (",
    ),
    (
        11,
        "an outage is a refusal of the row",
        "connectors/accessplanit/refusals.py",
        "if status in LATER or status >= 500:",
        "if status in LATER:",
    ),
    (
        11,
        "a login page counts as done",
        "connectors/accessplanit/refusals.py",
        "if not response.is_success or not isinstance(answer, dict | list):",
        "if not response.is_success:",
    ),
    (
        11,
        "a missing right is a refusal of the row",
        "connectors/accessplanit/refusals.py",
        "    if status == 403:",
        "    if status == 0:",
    ),
    (
        11,
        "what was answered before a fault is not receipted",
        "reconciliation/run/load.py",
        "if len(answered.receipts):",
        "if False:",
    ),
    (
        14,
        "an old holder takes a lapsed lease again",
        "connectors/store/runs.py",
        "if (process, run) in self._tokens:",
        "if False:",
    ),
    (
        14,
        "a lapsed lease is renewed",
        "connectors/store/runs.py",
        " & (lease.until >= naive(self.clock()))",
        "",
    ),
    (
        15,
        "a preview is given a target that writes",
        "tasks/connections.py",
        "target=cast(Target, ReadOnly(target))",
        "target=target",
    ),
    (
        6,
        "a future completion counts",
        "reconciliation/awards.py",
        "is_completed(rows) & ~revoked & ~future",
        "is_completed(rows) & ~revoked",
    ),
    (
        6,
        "a record that moves leaves its old group",
        "reconciliation/run/rows.py",
        "return actual[actual[key].isin(wanted[key]) & ~actual[key].isin(same)]",
        "return actual[:0]",
    ),
    (
        6,
        "the former holder's rows are not read",
        "reconciliation/run/rows.py",
        "    if not len(former):\n        return current",
        "    if True:\n        return current",
    ),
    (
        6,
        "a sweep looks only at what it could read",
        "reconciliation/run/compare.py",
        'ours = actual[actual[comparison.key].isin(comparison.origin["key"]) & comparison.whole]',
        "ours = actual[:0]",
    ),
    (
        6,
        "rows due by the day are not found in HR",
        "reconciliation/run/rows.py",
        "keys = rows[is_due(rows, as_of, today, rule.expiring_within_days)][key]",
        "keys = rows[:0][key]",
    ),
    (
        3,
        "places go in the order of reading",
        "reconciliation/decisions.py",
        'cases.sort_values(["decided_at", "source_key"], na_position="last", ignore_index=True)',
        "cases",
    ),
    (
        11,
        "a read-only database refuses rows",
        "connectors/hr/sql.py",
        'OF_THE_ROW = ("22", "23")',
        'OF_THE_ROW = ("22", "23", "25", "42")',
    ),
    (
        11,
        "what is found after a lost answer is not receipted",
        "connectors/store/ledger.py",
        "        if closes:\n",
        "        if True:\n",
    ),
    (
        14,
        "a clock that was wrong locks everybody out",
        "connectors/store/runs.py",
        " | (lease.until > naive(now + 2 * length))",
        "",
    ),
    (
        11,
        "a missing right in BambooHR is a refusal of the row",
        "connectors/hr/bamboohr/api.py",
        "if status in (401, 403):",
        "if status == 401:",
    ),
    (
        11,
        "an outage of a SCIM server is a refusal of the row",
        "connectors/hr/scim/server.py",
        " or status >= 500:",
        ":",
    ),
    (
        15,
        "a preview takes the answer files in",
        "tasks/connections.py",
        "if isinstance(source, HrSource):",
        "if False:",
    ),
    (
        3,
        "a decision that was settled is judged again",
        "reconciliation/decisions.py",
        ' | (cases["settled"] & ~is_open)',
        "",
    ),
    (
        1,
        "people in doubt hold nothing",
        "reconciliation/desired.py",
        "if rule is None:\n        return empty(HELD)",
        "if True:\n        return empty(HELD)",
    ),
    (
        3,
        "a decision that is held rests",
        "reconciliation/run/extract.py",
        "return replace(marks, held=marks.held[:0]) if run.spec.rule(CourseDecisions) else marks",
        "return marks",
    ),
    (
        12,
        "a row made for one of two who share a mailbox is the other's too",
        "reconciliation/candidates.py",
        "return doubtful & contradictions(spec, data, target, found, own=True)",
        "return doubtful & False",
    ),
    (
        12,
        "a create is not looked for by accessplanit's ID",
        "reconciliation/run/interrupted.py",
        'own.fillna(creates["key"].str.removeprefix(PROVISIONAL))',
        'creates["key"].str.removeprefix(PROVISIONAL)',
    ),
    (
        1,
        "an award that cannot be read in HR supersedes nothing",
        "reconciliation/run/compare.py",
        "wanted, actual, problems = without_unreadable_awards(comparison, wanted, actual, current)",
        "pass",
    ),
    (
        8,
        "an approval does not ask who was linked since",
        "reconciliation/run/approved.py",
        "        *_linked_otherwise(run, draft),\n",
        "",
    ),
    (
        8,
        "what somebody else has made counts as the plan's own",
        "reconciliation/run/approved.py",
        'if "given" not in present.rows or run.store.begun(digest):',
        "if True:",
    ),
    (
        8,
        "what the rules would hold by now is sent",
        "reconciliation/run/interrupted.py",
        'for name in others["key"]), *made.unclear]',
        'for name in others["key"])]',
    ),
    (
        13,
        "an approval takes back what was agreed since",
        "reconciliation/run/approved.py",
        "return _without_old_agreements(run, draft), landed",
        "return draft, landed",
    ),
    (
        12,
        "who is spelt otherwise in accessplanit is made again",
        "reconciliation/run/rows.py",
        "and compares_to_the_letter(spec)",
        "and False",
    ),
    (
        12,
        "a user whose ID is spelt otherwise is somebody else",
        "reconciliation/run/records.py",
        "_spelt_as_linked(comparison, fresh.read.frame))",
        "fresh.read.frame)",
    ),
    (
        12,
        "the row of a leaver is found by a mailbox",
        "reconciliation/match.py",
        'back = chosen["strong"] & at(ended(self.spec, self.target), chosen["target"])',
        'back = at(ended(self.spec, self.target), chosen["target"])',
    ),
    (
        12,
        "a shared mailbox takes a number away",
        "reconciliation/match.py",
        " & ~only_strong(chosen)\n",
        "\n",
    ),
    (
        1,
        "whoever a record has left is not looked for",
        "reconciliation/run/whole_feed.py",
        "return of_visible_people(source, store, target, spec, strangers[spec.key])",
        "return strangers[spec.key]",
    ),
    (
        3,
        "a decision that cannot be read gives its place away",
        "reconciliation/decisions.py",
        'turn > cases["spaces_left"] - kept',
        'turn > cases["spaces_left"]',
    ),
    (
        12,
        "what is theirs stays at the old row",
        "connectors/store/sql.py",
        "settled.links, relinked, now)",
        "settled.links, relinked[:0], now)",
    ),
    (
        16,
        "an end tomorrow is not an end",
        "reconciliation/run/compare.py",
        "else value + SOON",
        "else value",
    ),
    (
        1,
        "a field that HR does not show is taken for emptied",
        "reconciliation/run/comparison.py",
        "if read.vanished and len(read.frame) > 1:",
        "if False:",
    ),
    (
        1,
        "a field that nobody in BambooHR has any more is not minded",
        "connectors/hr/bamboohr/people.py",
        ", vanished=vanished)",
        ")",
    ),
    (
        5,
        "control characters go into the files",
        "connectors/hr/csv_drop/system.py",
        "                unwritable(changes, mandatory_of(entity)),\n",
        "",
    ),
    (
        5,
        "what the feed's own model rejects is sent to accessplanit",
        "connectors/accessplanit/rules.py",
        "yield from _unreadable(model, values)",
        "yield from ()",
    ),
    (
        5,
        "text of a custom field may be taken for a number",
        "reconciliation/values.py",
        "return json.dumps(content, ensure_ascii=False)",
        "return content",
    ),
    (
        9,
        "any text is true",
        "reconciliation/values.py",
        'raise ValueError("is neither true nor false")',
        "return True",
    ),
    (
        9,
        "no end is a day like any other",
        "reconciliation/values.py",
        "if parsed.date() in no_end:",
        "if False:",
    ),
    (
        9,
        "a flag is what the driver makes of it",
        "connectors/hr/sql.py",
        "else sa.type_coerce(column, sa.types.NullType())",
        "else column",
    ),
    (
        9,
        "bytes that are not UTF-8 end the reading",
        "connectors/hr/sql.py",
        '"decode to UTF-8" not in str(error.orig)',
        "True",
    ),
    (
        9,
        "control characters are text",
        "connectors/hr/cells.py",
        "return None if _holds_control(column) else column",
        "return column",
    ),
    (
        9,
        "of a key that comes twice one row is taken",
        "connectors/hr/csv_drop/answers.py",
        "if len(places[name]) > 1\n        else None",
        "if False else None",
    ),
    (
        10,
        "a digest can be guessed",
        "reconciliation/run/compare.py",
        "salt=comparison.store.salt())",
        'salt=b"")',
    ),
    (
        10,
        "the vendor's words are the reason",
        "connectors/accessplanit/refusals.py",
        "(_field(name, words, known), _kind(words))",
        "(None, words)",
    ),
    (
        10,
        "who is forgotten stays in kept plans",
        "connectors/store/privacy.py",
        "values(**cut, redacted=True)",
        "values(redacted=True)",
    ),
    (
        10,
        "who is forgotten stays in raw records",
        "connectors/store/privacy.py",
        "if person.has_record(raw) or (key is None and person.mentioned(raw))",
        "if False",
    ),
    (
        10,
        "who is forgotten stays in archived files",
        "connectors/hr/csv_drop/forget.py",
        "rows += _archived(place, settings, person)",
        "rows += 0",
    ),
    (
        10,
        "who is forgotten stays in lists",
        "connectors/report/forget.py",
        "if not person.has(line)]",
        "]",
    ),
]


def tests_of(law: int) -> list[tuple[str, str]]:
    """The law's tests, with the first line of what they say of themselves."""
    bodies = [node for file in TESTS for node in ast.parse((ROOT / file).read_text()).body]
    found = [
        n
        for n in bodies
        if isinstance(n, ast.FunctionDef) and n.name.startswith(f"test_law_{law}_")
    ]
    return [(node.name, " ".join((ast.get_docstring(node) or "").split())) for node in found]


def notices(law: int, file: str, old: str, new: str) -> str | None:
    """The test that fails when ``old`` is ``new``; ``None`` if none does."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "docs", "*.egg-info"))
        text = (tree / file).read_text()
        if text.count(old) != 1:
            raise SystemExit(
                f"{file} has {old!r} {text.count(old)} times: the list of mistakes must follow the code"
            )
        (tree / file).write_text(text.replace(old, new))
        chosen = [name for name in TESTS if f"def test_law_{law}_" in (ROOT / name).read_text()]
        options = ["-q", "-x", "-k", f"test_law_{law}_", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *chosen, *options]
        # The same examples each time, so that the page does not depend on luck.
        environment = {
            "BAMBOOHR_OPENAPI": str(ROOT.parent / "shared/spec/bamboohr-public.yaml"),
            **os.environ,
            "CI": "1",
            "HRSYNC_MUTANTS": "1",
        }
        done = subprocess.run(
            command, cwd=tree, capture_output=True, text=True, check=False, env=environment
        )
    failed = [
        re.split(r"[\[ ]", line.split("::")[1])[0]
        for line in done.stdout.splitlines()
        if line.startswith("FAILED")
    ]
    return failed[0] if failed else None


def main() -> int:
    """Tries all, or those of the laws whose numbers are given; the page is written if all were
    tried."""
    chosen = {int(number) for number in sys.argv[1:]} or set(LAWS)
    rows: dict[int, list[str]] = {law: [] for law in LAWS}
    unnoticed = 0
    mistakes = [mistake for mistake in MUTANTS if mistake[0] in chosen]

    def noticed_by(mistake: tuple[int, str, str, str, str]) -> str | None:
        law, _, file, old, new = mistake
        return notices(law, file, old, new)

    pool = ThreadPoolExecutor(os.cpu_count())
    for (law, what, file, _, _), by in zip(mistakes, pool.map(noticed_by, mistakes), strict=True):
        unnoticed += by is None
        print(f"{'caught  ' if by else 'UNNOTICED'} law {law}: {what} ({by or file})", flush=True)
        rows[law].append(f"| {what} | `{file}` | {f'`{by}`' if by else '**none**'} |")
    if chosen != set(LAWS):
        return 1 if unnoticed else 0
    text = "# The laws\n\nWhat this integration promises, as properties that are tried on drawn examples (`test_law_…` in `tests`).\n"
    text += "Every run of the suite tries some; `make laws` tries 10,000 of each. A property that cannot fail proves nothing: each\n"
    text += "was seen to fail on code with a deliberate mistake. `make mutants` makes each of these mistakes in a copy and writes\nthis page.\n"
    for law, says in LAWS.items():
        text += f"\n## {law}. {says}\n\n"
        text += "".join(f"- `{name}`{': ' + doc if doc else ''}\n" for name, doc in tests_of(law))
        text += (
            "\n| deliberate mistake | where | caught by |\n|---|---|---|\n"
            + "\n".join(rows[law])
            + "\n"
        )
    (ROOT / "docs" / "laws.md").write_text(text)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The second step of a run: plans the changes, and the new watermark."""

from __future__ import annotations

from reconciliation.draft import Draft
from reconciliation.plan import EDITED
from reconciliation.report import RunReport
from reconciliation.settle import Compared
from reconciliation.spec import ProcessSpec
from reconciliation.watermark import Watermark, advance

from .compare import compare
from .comparison import Comparison
from .context import Run
from .extract import Extracted, updated_column
from .reading import Reading


def reconcile(run: Run, reading: Reading, read: Extracted) -> Draft:
    """Applies scope, match and ownership, and makes the plan. Nothing is written."""
    comparison = Comparison.of(
        run.spec,
        run.target,
        run.store,
        run.moment,
        read.known,
        read.ended,
        whole=reading.whole,
    )
    compared = compare(comparison, read.snapshot, read.marks)
    return _draft(run, reading, read, compared)


def _draft(run: Run, reading: Reading, read: Extracted, compared: Compared) -> Draft:
    snapshot = read.snapshot
    unseen = _has_unseen_keyless(run, compared)
    after = read.mark if reading.chosen else _advanced(run, read, unseen)
    # The run has read again everything in which earlier runs met records without a key.
    looked_again = read.mark.waiting or read.window.since is None
    sound = snapshot.complete and not unseen and not reading.chosen
    return Draft(
        spec=run.spec,
        compared=compared,
        before=read.mark,
        after=after,
        report=_report(run, reading, read, compared, after),
        retried=_unanswered(run.spec, read),
        looked_again=looked_again and sound,
        whole=reading.whole and snapshot.complete,
        drift=_drift(run.spec, read) if snapshot.read and not reading.chosen else None,
        hints=reading.hints if snapshot.complete else (),
        silent=snapshot.silent,
    )


def _has_unseen_keyless(run: Run, compared: Compared) -> bool:
    """Whether a record came that has no readable key and that no earlier run has met."""
    rejected = compared.rejected
    keyless = set(rejected["hash"][rejected["key"].isna()])
    return bool(keyless and keyless - run.store.known_bad(run.spec.name))


def _advanced(run: Run, read: Extracted, unseen: bool) -> Watermark:
    return advance(
        read.mark,
        read.snapshot,
        updated_column(run),
        read.window,
        read.began,
        run.today,
        unseen,
    )


def _report(
    run: Run, reading: Reading, read: Extracted, compared: Compared, after: Watermark
) -> RunReport:
    report = RunReport(
        process=run.spec.name,
        mode=reading.kind,
        source=run.source.name,
        started=run.now,
        read=read.snapshot.read,
        complete=read.snapshot.complete,
        digest=compared.plan.digest,
        watermark_before=read.mark.moment,
        watermark_after=read.mark.moment if run.preview else after.moment,
        requests=read.requests,
        hints=len(reading.hints),
        target_side=run.spec.target_side,
    )
    if reading.whole:
        edited = int((compared.plan.changes["reason"] == EDITED).sum())
        report.sweep = {
            "parts": read.parts,
            "parts taken up": read.resumed,
            "gone": len(compared.gone) + len(compared.reported),
            f"only in {run.spec.target_side}": compared.figures["only_in_target"],
            f"changed in {run.spec.target_side}": edited,
        }
    return report


def _unanswered(spec: ProcessSpec, read: Extracted) -> tuple[str, ...]:
    """Returns the keys from the quarantine that the run asked for and the source did not return."""
    snapshot = read.snapshot
    if not snapshot.complete:
        return ()
    answered = {*snapshot.frame[spec.key], *snapshot.rejected["key"].dropna()}
    return tuple(key for key in read.asked_again if key not in answered)


def _drift(spec: ProcessSpec, read: Extracted) -> tuple[tuple[str, str], ...]:
    return (
        *((f"{spec.feed}.{name}", "appeared") for name in read.snapshot.appeared),
        *((f"{spec.feed}.{name}", "vanished") for name in read.snapshot.vanished),
    )

"""Is it right, and as of which day? Historical reconciliation, on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from prefect import State, flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import wait
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema

from connectors.checkpoints import Folder
from connectors.report.page import Written, write
from connectors.settings import HistorySettings, Settings
from connectors.settings import load as load_settings
from reconciliation.capabilities import narrowed
from reconciliation.compliance import needs
from reconciliation.discreet import discreet
from reconciliation.errors import Misconfigured, StoreFailed, UnsafePlan
from reconciliation.history.findings import Findings, to_repair
from reconciliation.history.forecast import Forecast, forecast
from reconciliation.history.inquiry import Inquiry
from reconciliation.job_roles import AWARDS
from reconciliation.names import named
from reconciliation.ports import HrSystem
from reconciliation.processes import CheckedProcess
from reconciliation.spec import AwardStates, ProcessSpec
from tasks.approval import this_run
from tasks.connections import Connections, connections
from tasks.history import compare_partition, origin_of
from tasks.publish import publish_findings

from ._history import Answer, answer
from ._process import run_flow
from ._run import Order, World
from .catalogue import process
from .options import Form
from .users_from_hr import LEAVERS

CHECKED: tuple[str, ...] = get_args(CheckedProcess)
ENTITIES = {
    spec.entity: name for name in CHECKED if (spec := process(name).scoped()).direction == "to_hr"
}
"""Entity of HR -> the process that checks it."""


def _known(what: str) -> str:
    if what not in {*ENTITIES, *CHECKED}:
        raise ValueError(f"use one of {', '.join((*ENTITIES, *CHECKED))}")
    return what


What = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": [*ENTITIES, *CHECKED]}),
]
"""An entity of HR, or a process."""


@dataclass(frozen=True)
class Reported:
    """The findings, the files of the report, and the keys of the records that a repair would
    read."""

    findings: Findings
    written: Written
    faulty: tuple[str, ...]


class When(Form):
    """The day of the question, whether to use today's knowledge, and which records to compare by
    their own day."""

    as_of: date | None = Field(
        default=None, description="The business day, at its end. Empty: today."
    )
    known_at: datetime | None = Field(
        default=None,
        description="Use what the ledger knew at this moment (UTC unless it has an offset), not "
        "what HR shows today.",
    )
    period_from: date | None = Field(
        default=None,
        description="Only records of this day or later: the day of completion, of the course, or "
        "from which a role is held.",
    )
    period_to: date | None = Field(default=None, description="Only records of this day or earlier.")


class Only(Form):
    """Which people and which records to compare. Empty: all."""

    companies: list[str] = Field(
        default=[], description="IDs of companies (MainCompanyID): only their people."
    )
    awards: list[str] = Field(default=[], description="IDs of awards (AwardID): only these.")
    roles: list[str] = Field(
        default=[],
        description="IDs of job roles (UserTypeID): only people who have one on the day.",
    )
    people: str | None = Field(
        default=None,
        description="Name of a list of people: lists/NAME.txt in the folder of reconciliations, an "
        "accessplanit user ID per line. Never enter an ID here: Prefect must not know it.",
    )
    filters: dict[str, Any] = Field(
        default={},
        description='The filters that the process\'s own deployment has, as {"companies": ["C1"]}.',
    )


@flow(name="reconcile_history", flow_run_name="History of {what} ({mode})", persist_result=False)
def reconcile_history(
    what: What = "awards",
    mode: Literal["report", "repair"] = "report",
    when: When = When(),
    only: Only = Only(),
) -> State[None]:
    """Compare accessplanit with HR and the ledger, as of a day: what is wrong, why, what to do.

    Args:
        what: An entity of HR, or one process.
        mode: report finds and explains; repair also plans what can be put right, and waits until
            somebody has approved the plan.
    """
    given = {
        "first": when.period_from,
        "last": when.period_to,
        "companies": only.companies,
        "awards": only.awards,
        "roles": only.roles,
    }
    known = when.known_at
    return reconcile(
        what,
        mode,
        when.as_of,
        known.replace(tzinfo=UTC) if known and known.tzinfo is None else known,
        only.people,
        only.filters,
        **{name: value for name, value in given.items() if value},
    )


@discreet
def reconcile(
    what: str,
    mode: str,
    as_of: date | None,
    known_at: datetime | None,
    people: str | None,
    filters: dict[str, Any],
    **given: Any,
) -> State[None]:
    """Reports and, in the mode ``repair``, plans and carries out what can be put right."""
    settings = load_settings()
    chosen = process(ENTITIES.get(what, what))
    spec = chosen.scoped(**filters)
    if mode == "repair" and known_at:
        raise Misconfigured(
            "A repair uses what both sides hold now, not what was known earlier",
            "Leave known_at out, or ask for a report.",
        )
    flow_run, _ = this_run()
    with connections(settings) as opened:
        can = opened.system(spec.name).capabilities
        if (spec.entity if spec.direction == "to_hr" else spec.feed) not in can.entities:
            raise Misconfigured(
                f"{can.system} does not hold the data of {spec.name}",
                "Reconcile a process whose data it holds.",
            )
        spec = narrowed(spec, can)
        waits = opened.store.waiting(spec.name, spec.fingerprint(), datetime.now(UTC))
        decided = bool(waits and flow_run and waits[1] == flow_run)
        if not decided:
            inquiry = _inquiry(
                settings,
                spec,
                as_of,
                known_at=known_at,
                people=_listed(settings, people),
                filters=filters,
                **given,
            )
            reported = report(settings, opened, spec, inquiry)
    if decided:
        # Somebody has decided on the repair, and Prefect runs the flow again from its start.
        return run_flow(spec, Order(confirm=True, named=()))
    findings = _sentence(reported)
    if mode == "report":
        return Completed(message=f"{findings} Nothing was written.")
    if not reported.faulty:
        return Completed(message=f"{findings} There is nothing to repair.")
    try:
        state = run_flow(spec, Order(confirm=True, named=reported.faulty))
    except UnsafePlan as unsafe:
        # Outside of a deployment Prefect cannot ask anybody.
        digest = unsafe.digest
        how = f"hrsync show {digest}; then hrsync apply {digest}, or reject"
        message = f"{findings} The repair waits for your decision: {how}."
        return Completed(name="Waiting", message=message)
    return Completed(message=f"{findings} {state.message}") if state.is_completed() else state


def report(
    settings: Settings, opened: Connections, spec: ProcessSpec, inquiry: Inquiry
) -> Reported:
    """Answers a question, writes the report, and removes the folder with the intermediate data."""
    world, hr = opened.world(spec), opened.system(spec.name)
    home = Folder(settings.history_folder)
    # Prefect may see the address of this folder. The salt hides which people the question is about.
    name = inquiry.digest(opened.store.salt())
    work = home.below(f"work/{name}")
    # A run that was killed holds its lease for a while. The next one waits for the lease to expire
    # and goes on with the saved reads.
    with opened.store.lease(f"history {name}", uuid4().hex, 1.5 * settings.lease_seconds) as mine:
        if not mine:
            raise StoreFailed(
                "Another run is answering the same question",
                "Wait for its report, or ask again later.",
            )
        compare, rows = _comparing(settings.history), settings.history.partition_rows
        found = answer(spec, inquiry, world, hr, work, compare, rows=rows, progress=_progress(spec))
        outlook = looked_ahead(inquiry, found, world, hr)
        written = write(home, found.findings, outlook)
        faulty = to_repair(spec, found.findings.rows, origin_of(opened.store, spec))
        publish_findings(found.findings, written.page)
        work.remove()
    return Reported(found.findings, written, faulty)


def looked_ahead(inquiry: Inquiry, found: Answer, world: World, hr: HrSystem) -> Forecast | None:
    """Expiry and compliance as of the day. ``None`` unless the question is about all awards of the
    people, and HR holds who has which job role."""
    spec, held = found.findings.spec, {"employees", "assignments", "award_targets", "job_roles"}
    if (
        spec.entity != "awards"
        or not spec.rule(AwardStates)
        or inquiry.period
        or inquiry.awards
        or not held <= set(hr.capabilities.entities)
    ):
        return None
    need = needs(world.source, hr, [text.lower() for text in LEAVERS])
    people = (
        need.people
        if found.chosen is None
        else need.people[need.people["employee_id"].isin(found.chosen)].reset_index(drop=True)
    )
    labels = hr.read("job_roles", {"label": "text"}, None).frame
    awards = found.compared.expected[[*AWARDS, "award_label"]]
    return forecast(
        awards, need.requirements, need.assignments, need.targets, people, labels, inquiry.as_of
    )


# -- on threads or on a cluster ------------------------------------------------------------------


@flow(name="compare partitions", persist_result=False, validate_parameters=False)
def compare_partitions(url: str, number: int) -> None:
    """Compares the partitions of a folder, each in its own task. Prefect sees only the address of
    the folder."""
    futures = [compare_partition.submit(url, part) for part in range(number)]
    wait(futures)
    for future in futures:
        future.result()


def _comparing(settings: HistorySettings) -> Callable[[str, int], None]:
    def compare(url: str, number: int) -> None:
        if number == 1 and settings.cluster is None:
            compare_partition(url, 0)
        else:
            compare_partitions.with_options(task_runner=runner(settings))(url, number)

    return compare


def runner(settings: HistorySettings) -> TaskRunner[Any]:
    """Threads of this process, or a Dask cluster.

    Raises:
        Misconfigured: the settings name a Dask cluster, and Dask is not installed.
    """
    if settings.cluster is None:
        return ThreadPoolTaskRunner(max_workers=settings.workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise Misconfigured(
            "HRSYNC_HISTORY__CLUSTER is set, and Dask is not installed",
            "Install hrsync[dask].",
        ) from None
    if settings.cluster == "local":
        return DaskTaskRunner(
            cluster_kwargs={
                "n_workers": settings.workers,
                "threads_per_worker": 1,
                "dashboard_address": None,
            }
        )
    return DaskTaskRunner(address=settings.cluster)


def _progress(spec: ProcessSpec) -> Callable[[int, int], None]:
    """Shows the progress in the Prefect UI."""
    made: list[UUID] = []

    def shown(done: int, whole: int) -> None:
        if not made:
            key = f"{spec.name.replace('_', '-')}-history-progress"
            # Prefect declares one function for both worlds: here it is the synchronous one.
            artifact: Any = create_progress_artifact(
                0.0, key=key, description=f"{spec.title}: parts read and compared"
            )
            made.append(artifact)
        update_progress_artifact(made[0], progress=100.0 * done / whole)

    return shown


# -- the question --------------------------------------------------------------------------------


def _inquiry(settings: Settings, spec: ProcessSpec, as_of: date | None, **given: Any) -> Inquiry:
    today = datetime.now(ZoneInfo(settings.dialect.zone)).date()
    try:
        return Inquiry(process=spec.name, as_of=as_of or today, **given)
    except ValidationError as error:
        raise Misconfigured(
            f"Invalid request: {error.errors()[0]['msg']}",
            "Correct the period or the moment of knowledge.",
        ) from None


def _listed(settings: Settings, name: str | None) -> tuple[str, ...]:
    """The user IDs of a list."""
    if name is None:
        return ()
    folder = Folder(settings.history_folder).below("lists")
    text = folder.text(f"{named(name, 'the list of people')}.txt")
    if text is None:
        raise Misconfigured(
            f"List {name}.txt not found",
            "Put it into the folder lists of the reconciliations, with one ID per line.",
        )
    return tuple(sorted({line.strip() for line in text.splitlines() if line.strip()}))


def keep_list(settings: Settings, ids: list[str]) -> str:
    """Saves user IDs as a list. Returns the name of the list, which may go to Prefect: it says
    nothing about the people."""
    name = uuid4().hex[:12]
    Folder(settings.history_folder).below("lists").write(
        f"{name}.txt", "\n".join(sorted(set(ids))).encode()
    )
    return name


def _sentence(reported: Reported) -> str:
    found = reported.findings
    counts = ", ".join(f"{rows:,} {name}" for name, rows in found.counts().items() if rows)
    return (
        f"{found.spec.title} as of {found.inquiry.as_of:%d %b %Y}: {counts}. Report: "
        f"{reported.written.page}."
    )

"""Runs historical reconciliations on demand: were both sides right as of a day?"""

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
from connectors.report.page import ReportAddresses, write
from connectors.settings import HistorySettings, Settings
from connectors.settings import load as load_settings
from reconciliation.capabilities import narrowed
from reconciliation.compliance import needs
from reconciliation.discreet import discreet
from reconciliation.errors import Misconfigured, StoreFailed, UnsafePlan, WrongInput
from reconciliation.history.findings import Findings, to_repair
from reconciliation.history.forecast import Forecast, forecast
from reconciliation.history.inquiry import Inquiry
from reconciliation.job_roles import AWARDS
from reconciliation.names import named
from reconciliation.ports import HrSystem
from reconciliation.processes import CheckedProcess
from reconciliation.spec import AwardStates, ProcessSpec
from reconciliation.validation import fault_of
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


def _valid(what: str) -> str:
    """Refuses a text that is neither an entity of HR nor a process."""
    if what not in {*ENTITIES, *CHECKED}:
        raise ValueError(f"use one of {', '.join((*ENTITIES, *CHECKED))}")
    return what


What = Annotated[
    str,
    AfterValidator(_valid),
    WithJsonSchema({"type": "string", "enum": [*ENTITIES, *CHECKED]}),
]
"""An entity of HR, or a process."""


@dataclass(frozen=True)
class Reported:
    """The result of a report."""

    findings: Findings
    written: ReportAddresses
    """The files of the report."""
    faulty: tuple[str, ...]
    """The source keys of the records that a repair would read."""


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
        description="Only records of this day or later: the day of completion, the day of the "
        "course, or the first day of a role.",
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
        description="Name of a list of people: lists/NAME.txt in the folder for reconciliations, "
        "with an accessplanit user ID per line. Never enter an ID here: Prefect must not know it.",
    )
    filters: dict[str, Any] = Field(
        default={},
        description='Filters of the process, as in its own deployment: {"companies": ["C1"]}.',
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
    selection = {
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
        **{name: value for name, value in selection.items() if value},
    )


@discreet
def reconcile(
    what: str,
    mode: str,
    as_of: date | None,
    known_at: datetime | None,
    people: str | None,
    filters: dict[str, Any],
    **selection: Any,
) -> State[None]:
    """Writes the report and, in the mode ``repair``, plans and carries out the possible repairs.

    ``selection``: further arguments of :class:`Inquiry`, such as ``companies``.
    """
    settings = load_settings()
    chosen = process(ENTITIES.get(what, what))
    spec = chosen.scoped(**filters)
    if mode == "repair" and known_at:
        raise WrongInput(
            "A repair uses what both sides hold now, not what was known earlier",
            "Leave out known_at, or choose the mode report.",
        )
    flow_run, _ = this_run()
    with connections(settings) as sides:
        can = sides.system(spec.name).capabilities
        if (spec.entity if spec.direction == "to_hr" else spec.feed) not in can.entities:
            raise Misconfigured(
                f"{can.system} does not hold the data of {spec.name}",
                "Reconcile a process whose data it holds.",
            )
        spec = narrowed(spec, can)
        waiting = sides.store.waiting(spec.name, spec.fingerprint(), datetime.now(UTC))
        decided = bool(waiting and flow_run and waiting[1] == flow_run)
        if not decided:
            inquiry = _inquiry(
                settings,
                spec,
                as_of,
                known_at=known_at,
                people=_listed(settings, people),
                filters=filters,
                **selection,
            )
            reported = report(settings, sides, spec, inquiry)
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


def report(settings: Settings, sides: Connections, spec: ProcessSpec, inquiry: Inquiry) -> Reported:
    """Answers a question, writes the report, and removes the folder with the intermediate data."""
    world, hr = sides.world(spec), sides.system(spec.name)
    home = Folder(settings.history_folder)
    # Prefect may see the address of this folder. The salt hides which people the question is about.
    name = inquiry.digest(sides.store.salt())
    work = home.below(f"work/{name}")
    # A run that was killed holds its lease for a while. The next one waits for the lease to expire
    # and goes on with the saved reads.
    with sides.store.lease(f"history {name}", uuid4().hex, 1.5 * settings.lease_seconds) as is_ours:
        if not is_ours:
            raise StoreFailed(
                "Another run is answering the same question",
                "Wait for its report, or ask again later.",
            )
        compare, rows = _comparing(settings.history), settings.history.partition_rows
        progress = _progress(spec)
        result = answer(spec, inquiry, world, hr, work, compare, rows=rows, progress=progress)
        findings = result.findings
        written = write(home, findings, looked_ahead(inquiry, result, world, hr))
        faulty = to_repair(spec, findings.rows, origin_of(sides.store, spec))
        publish_findings(findings, written.page)
        work.remove()
    return Reported(findings, written, faulty)


def looked_ahead(inquiry: Inquiry, result: Answer, world: World, hr: HrSystem) -> Forecast | None:
    """Forecasts expiry and compliance as of the day. ``None`` unless the question is about all
    awards of the people, and HR has the job roles of people."""
    spec = result.findings.spec
    needed = {"employees", "assignments", "award_targets", "job_roles"}
    if (
        spec.entity != "awards"
        or not spec.rule(AwardStates)
        or inquiry.period
        or inquiry.awards
        or not needed <= set(hr.capabilities.entities)
    ):
        return None
    need = needs(world.source, hr, [text.lower() for text in LEAVERS])
    people = (
        need.people
        if result.chosen is None
        else need.people[need.people["employee_id"].isin(result.chosen)].reset_index(drop=True)
    )
    labels = hr.read("job_roles", {"label": "text"}, None).frame
    awards = result.compared.expected[[*AWARDS, "award_label"]]
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
    """Returns what runs the comparisons: threads of this process, or a Dask cluster.

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
    """Returns a function that shows the progress in the Prefect UI."""
    artifacts: list[UUID] = []

    def show(done: int, total: int) -> None:
        if not artifacts:
            key = f"{spec.name.replace('_', '-')}-history-progress"
            # Prefect's type hints also allow the asynchronous form. Here it is the synchronous one.
            artifact: Any = create_progress_artifact(
                0.0, key=key, description=f"{spec.title}: parts read and compared"
            )
            artifacts.append(artifact)
        update_progress_artifact(artifacts[0], progress=100.0 * done / total)

    return show


# -- the question --------------------------------------------------------------------------------


def _inquiry(settings: Settings, spec: ProcessSpec, as_of: date | None, **details: Any) -> Inquiry:
    today = datetime.now(ZoneInfo(settings.dialect.zone)).date()
    try:
        return Inquiry(process=spec.name, as_of=as_of or today, **details)
    except ValidationError as error:
        raise WrongInput(
            f"Invalid request: {fault_of(error.errors()[0])}",
            "Correct the period or known_at.",
        ) from None


def _listed(settings: Settings, name: str | None) -> tuple[str, ...]:
    """Returns the user IDs of a list."""
    if name is None:
        return ()
    folder = Folder(settings.history_folder).below("lists")
    text = folder.text(f"{named(name, 'the list of people')}.txt")
    if text is None:
        raise WrongInput(
            f"List {name}.txt not found",
            "Put it into the folder 'lists' of the reconciliations, with one ID per line.",
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
    """Returns the findings in a sentence, with the address of the report."""
    findings = reported.findings
    counts = ", ".join(f"{rows:,} {name}" for name, rows in findings.counts().items() if rows)
    return (
        f"{findings.spec.title} as of {findings.inquiry.as_of:%d %b %Y}: {counts}. Report: "
        f"{reported.written.page}."
    )

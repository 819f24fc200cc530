"""Runs: list, show, request, and the verbs on one; and /runs, the CI's one call that requests and starts."""

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router

from audit.cover import warning
from audit.refusals import Invalid
from releases.actions.deployment import decide
from releases.actions.deployment.request import request as request_run
from releases.actions.deployment.schedule import cancel, schedule
from releases.api import cursor as cursors, shapes
from releases.api.once import writes
from releases.api.releases import ApiVerb, MustIn, ReasonIn, refuse_to_sign
from releases.api.rows import application_named, environment_named, known, release_named, release_numbered, run_numbered
from releases.api.token import Caller, caller_of
from releases.api.words import Body, DeploymentState, Id, Moment, Slug, Version, Why
from releases.models import Deployment, Step, StepOutput
from releases.steps.words import told

router = Router(tags=["deployments"])
runs = Router(tags=["runs"])
STATES = tuple(str(state) for state in Deployment.State.values)
TAIL = 200
CHECKS = ("verification", "rollback_verification")


class DeploymentIn(Body):
    """A run to be asked for: the release by its id, or by application and version."""

    environment: Slug
    release_id: Id | None = None
    application: Slug | None = None
    version: Version | None = None
    reason: Why = ""


class RunIn(Body):
    """A run to be made now."""

    application: Slug
    version: Version
    environment: Slug
    reason: Why = ""


class ScheduleIn(Body):
    """The hour, with its offset."""

    at: Moment
    reason: Why = ""


def _start(run_id: int, *, reason: str) -> Deployment:
    return schedule(run_id, reason=reason)


VERBS: tuple[ApiVerb, ...] = (
    ApiVerb("start", ReasonIn, _start, "Start it now: every gate of the environment is asked."),
    ApiVerb("schedule", ScheduleIn, schedule, "Set the hour: the gates are asked for it, and again when it comes."),
    ApiVerb("cancel", MustIn, cancel, "Take a run back before it has begun."),
    ApiVerb("stop", MustIn, decide.stop, "Stop a run that is under way."),
    ApiVerb("verify", ReasonIn, None, "Verification by a second person: refused for a token.", signs=True),
    ApiVerb("fail", MustIn, None, "End a waiting run: a signature, so refused for a token.", signs=True),
    ApiVerb("resolve", MustIn, None, "Settle a failed run: a signature, so refused for a token.", signs=True),
)


def _line(run_id: int) -> shapes.RunLine:
    run = Deployment.objects.select_related(
        "release", "application", "environment", "requested_by", "scheduled_by"
    ).get(pk=run_id)
    return shapes.RunLine(**shapes.run_fields(run))


def _step(step: Step, logs: bool) -> shapes.StepDetail:
    return shapes.StepDetail(
        **shapes.step_out(step).model_dump(),
        label=str(step),
        required=step.required,
        started_at=step.started_at,
        ended_at=step.ended_at,
        failure=told(step.failure) if logs else None,
    )


def _check(step: Step) -> shapes.CheckOut:
    seen = step.result if isinstance(step.result, dict) else {}
    said = {
        name: told(seen[name]) if seen.get(name) not in (None, "") else None for name in ("verdict", "value", "limit")
    }
    return shapes.CheckOut(ordinal=step.ordinal, label=str(step), state=step.state, **said)


def _tail(steps: list[Step]) -> str:
    """Return the last chunks of output of the step that runs, or of the last one begun."""
    begun = [step for step in steps if step.started_at is not None]
    if not begun:
        return ""
    followed = next((s for s in begun if s.state in ("running", "outcome_unknown", "failed")), begun[-1])
    rows = StepOutput.objects.filter(step=followed).order_by("-pk").values_list("text", flat=True)[:TAIL]
    return "\n".join(filter(None, [warning(followed.output.all()), told("".join(list(rows)[::-1]))]))


@router.get("", response=shapes.RunPage)
def list_deployments(
    request: HttpRequest,
    application: Slug | None = None,
    environment: Slug | None = None,
    state: DeploymentState | None = None,
    release: Id | None = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = "",
) -> Any:
    """List the runs in the environments that the caller reads, the newest first."""
    caller = caller_of(request)
    caller.read_any()
    wanted = Q(environment__in=caller.readable)
    if application:
        wanted &= Q(application=application_named(application))
    if environment:
        where = environment_named(caller, environment)
        caller.read(where)
        wanted &= Q(environment=where)
    if state:
        wanted &= Q(state=known(state, STATES, "state"))
    if release:
        wanted &= Q(release_id=release)
    rows = Deployment.objects.filter(wanted).select_related(
        "release", "application", "environment", "requested_by", "scheduled_by"
    )
    found, following = cursors.page(rows, "deployment", cursor, limit)
    return shapes.RunPage(items=[shapes.RunLine(**shapes.run_fields(run)) for run in found], next=following)


@router.get("/{int:run_id}", response=shapes.RunDetail)
def show_deployment(request: HttpRequest, run_id: Id) -> Any:
    """Show a run with its steps, its checks and the end of its log."""
    caller = caller_of(request)
    run = run_numbered(caller, run_id)
    logs, steps = caller.logs(run.environment), list(run.steps.all())
    return shapes.RunDetail(
        **shapes.run_fields(run),
        steps=[_step(step, logs) for step in steps],
        checks=[_check(step) for step in steps if step.phase in CHECKS],
        rollback=shapes.rollback_out(run),
        question=shapes.question_out(run),
        log=_tail(steps) if logs else None,
    )


@router.post("", response=shapes.RunLine)
@writes
def request_deployment(request: HttpRequest, fields: DeploymentIn) -> shapes.RunLine:
    """Ask for a run; nothing starts yet."""
    caller = caller_of(request)
    environment = environment_named(caller, fields.environment)
    if fields.release_id is not None:
        release = release_numbered(caller, fields.release_id)
    elif fields.application and fields.version:
        release = release_named(fields.application, fields.version)
    else:
        raise Invalid(_("Name the release: its id, or its application and version."))
    return _line(request_run(release.pk, environment_id=environment.pk, reason=fields.reason).pk)


def _register(verb: ApiVerb) -> None:
    def view(request: HttpRequest, run_id: int, body: Any) -> shapes.RunLine:
        run = run_numbered(caller_of(request), run_id, to_read=False)
        act: Callable[..., Any] | None = verb.act
        if act is None:
            refuse_to_sign(f"deployment:{verb.name}", Deployment, run.pk)
        else:
            act(run.pk, **body.model_dump())
        return _line(run.pk)

    view.__name__, view.__doc__ = f"{verb.name}_deployment", verb.says
    view.__annotations__ = {"request": HttpRequest, "run_id": Id, "body": verb.body, "return": shapes.RunLine}
    router.post(f"/{{int:run_id}}/{verb.name}", response=shapes.RunLine, summary=verb.says)(writes(view))


for _row in VERBS:
    _register(_row)


@runs.post("", response=shapes.RunOut)
@writes
def post_run(request: HttpRequest, fields: RunIn) -> shapes.RunOut:
    """Request a run, or take the one that waits, and start it now, as far as the access of the account reaches."""
    environment = environment_named(caller_of(request), fields.environment)
    release = release_named(fields.application, fields.version)
    waiting = Deployment.objects.filter(release=release, environment=environment, state="requested").first()
    run = waiting or request_run(release.pk, environment_id=environment.pk, reason=fields.reason)
    schedule(run.pk, reason=fields.reason)
    return _out(caller_of(request), run.pk)


@runs.get("/{int:run_id}", response=shapes.RunOut)
def get_run(request: HttpRequest, run_id: Id) -> Any:
    """Show a run in short."""
    return _out(caller_of(request), run_id)


def _out(caller: Caller, run_id: int) -> shapes.RunOut:
    return shapes.run_out(run_numbered(caller, run_id))

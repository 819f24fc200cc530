"""Deployments: list, show, request, and the operations on one."""

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router

from audit.cover import warning
from audit.refusals import InvalidInput
from environments.targets.words import in_words
from releases.api import cursor as cursors, shapes
from releases.api.once import writes
from releases.api.releases import ApiVerb, MustIn, ReasonIn, refuse_to_sign, serve
from releases.api.rows import (
    application_named,
    deployment_numbered,
    environment_named,
    known,
    release_named,
    release_numbered,
)
from releases.api.token import caller_of
from releases.api.words import Body, DeploymentState, Id, Moment, Slug, Version, Why
from releases.models import Deployment, Step, StepOutput
from releases.operations.deployment import decide
from releases.operations.deployment.request import request as request_operation
from releases.operations.deployment.schedule import cancel, schedule

router = Router(tags=["deployments"])
STATES = tuple(str(state) for state in Deployment.State.values)
TAIL = 200
CHECKS = ("verification", "rollback_verification")


class DeploymentIn(Body):
    """The deployment to request: the release by its ID, or by application and version."""

    environment: Slug
    release_id: Id | None = None
    application: Slug | None = None
    version: Version | None = None
    reason: Why = ""


class ScheduleIn(Body):
    """The scheduled start, with its offset."""

    at: Moment
    reason: Why = ""


def _start(deployment_id: int, *, reason: str) -> Deployment:
    return schedule(deployment_id, reason=reason)


VERBS: tuple[ApiVerb, ...] = (
    ApiVerb("start", ReasonIn, _start, "Start the deployment now; every gate of the environment is checked."),
    ApiVerb(
        "schedule",
        ScheduleIn,
        schedule,
        "Schedule the deployment; the gates are checked for that time, and again when it comes.",
    ),
    ApiVerb("cancel", MustIn, cancel, "Cancel a deployment before it has started."),
    ApiVerb("stop", MustIn, decide.stop, "Stop a deployment that is in progress."),
    ApiVerb("verify", ReasonIn, None, "Verification by a second person: refused for a token."),
    ApiVerb(
        "fail", MustIn, None, "Mark a deployment that awaits a decision as failed: a signature, so refused for a token."
    ),
    ApiVerb("resolve", MustIn, None, "Resolve a failed deployment: a signature, so refused for a token."),
)


def _line(deployment_id: int) -> shapes.DeploymentLine:
    deployment = Deployment.objects.select_related(
        "release", "application", "environment", "requested_by", "scheduled_by"
    ).get(pk=deployment_id)
    return shapes.deployment_out(deployment, shapes.DeploymentLine)


def _step(step: Step, logs: bool) -> shapes.StepDetail:
    failure = in_words(step.failure) if logs else None
    target = step.target.name if step.target is not None else ""
    return shapes.filled(shapes.StepDetail, step, label=str(step), failure=failure, target=target)


def _check(step: Step) -> shapes.CheckOut:
    seen = step.result if isinstance(step.result, dict) else {}
    said = {
        name: in_words(seen[name]) if seen.get(name) not in (None, "") else None
        for name in ("result", "value", "limit")
    }
    return shapes.filled(shapes.CheckOut, step, label=str(step), **said)


def _tail(steps: list[Step]) -> str:
    """Return the last chunks of output of the running step, or of the last one begun."""
    begun = [step for step in steps if step.started_at is not None]
    if not begun:
        return ""
    followed = next((s for s in begun if s.state in ("running", "outcome_unknown", "failed")), begun[-1])
    rows = StepOutput.objects.filter(step=followed).order_by("-pk").values_list("text", flat=True)[:TAIL]
    return "\n".join(filter(None, [warning(followed.output.all()), in_words("".join(list(rows)[::-1]))]))


@router.get("", response=shapes.DeploymentPage)
def list_deployments(
    request: HttpRequest,
    application: Slug | None = None,
    environment: Slug | None = None,
    state: DeploymentState | None = None,
    release: Id | None = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = "",
) -> Any:
    """List the deployments in the environments that the caller reads, the newest first."""
    caller = caller_of(request)
    caller.read_any()
    wanted = caller.readable_rows()
    if application:
        wanted &= Q(application=application_named(caller, application))
    if environment:
        where = environment_named(caller, environment)
        caller.read(where)
        wanted &= Q(environment=where)
    if state is not None:
        wanted &= Q(state=known(state, STATES, "state"))
    if release:
        wanted &= Q(release_id=release)
    rows = Deployment.objects.filter(wanted).select_related(
        "release", "application", "environment", "requested_by", "scheduled_by"
    )
    found, following = cursors.page(rows, "deployment", cursor, limit)
    return shapes.DeploymentPage(
        items=[shapes.deployment_out(row, shapes.DeploymentLine) for row in found], next=following
    )


@router.get("/{int:deployment_id}", response=shapes.DeploymentDetail)
def show_deployment(request: HttpRequest, deployment_id: Id) -> Any:
    """Show a deployment with its steps, its checks and the end of its log."""
    caller = caller_of(request)
    deployment = deployment_numbered(caller, deployment_id)
    logs, steps = caller.logs(deployment.environment, deployment), list(deployment.steps.select_related("target"))
    return shapes.deployment_out(
        deployment,
        shapes.DeploymentDetail,
        steps=[_step(step, logs) for step in steps],
        checks=[_check(step) for step in steps if step.phase in CHECKS],
        rollback=shapes.rollback_out(deployment),
        decision_request=shapes.decision_request_out(deployment),
        log=_tail(steps) if logs else None,
    )


@router.post("", response=shapes.DeploymentLine)
@writes
def request_deployment(request: HttpRequest, fields: DeploymentIn) -> shapes.DeploymentLine:
    """Request a deployment; nothing starts yet."""
    caller = caller_of(request)
    environment = environment_named(caller, fields.environment)
    if fields.release_id is not None:
        release = release_numbered(caller, fields.release_id)
    elif fields.application and fields.version:
        release = release_named(caller, fields.application, fields.version)
    else:
        raise InvalidInput(_("Name the release: its id, or its application and version."))
    return _line(request_operation(release.pk, environment_id=environment.pk, reason=fields.reason).pk)


def _register(verb: ApiVerb) -> None:
    def view(request: HttpRequest, deployment_id: int, body: Any) -> shapes.DeploymentLine:
        deployment = deployment_numbered(caller_of(request), deployment_id, to_read=False)
        operation: Callable[..., Any] | None = verb.operation
        if operation is None:
            refuse_to_sign(f"deployment:{verb.name}", Deployment, deployment.pk)
        else:
            operation(deployment.pk, **body.model_dump())
        return _line(deployment.pk)

    serve(router, "deployment", verb, view, shapes.DeploymentLine)


for _row in VERBS:
    _register(_row)

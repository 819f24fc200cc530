"""deployment:enqueue, deployment:delay, deployment:return_to_scheduled, deployment:mark_missed: the scheduler's
operations.
"""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import AlreadyExists, GateNotPassed
from environments import access
from environments.models.environment import targets_in
from environments.targets.words import in_words
from releases import dispatch
from releases.gates import evaluation
from releases.gates.content import digest
from releases.models import Deployment, Rollback, Step
from releases.queries.step_waves import BACK, Laid, NoSuchTargets, lay_out, touched_by

RETRY = timedelta(seconds=60)
# Deployments are queued so long before their scheduled start: then only the claim is left, with the gates checked
# again.
AHEAD = timedelta(seconds=0.5)


def enqueue(deployment_id: int) -> Deployment:
    """Check the gates for the scheduled start, check the starter's permission again, create the steps and offer the
    first.

    Raises GateNotPassed.
    """
    resolve_lower(deployment_id)
    try:
        with operation("deployment:enqueue", (Deployment, deployment_id)) as op:
            deployment = op.get(Deployment)
            environment, release = deployment.environment, deployment.release
            deployment.enqueue()
            require_starter(deployment)
            if release.state not in release.MAY_RUN[environment.tier]:
                raise GateNotPassed(_("The release is “%(state)s” now.") % {"state": release.get_state_display()})
            evaluation.require(release, environment, max(op.at, deployment.due_at or op.at))
            going_back = Rollback.objects.filter(
                deployment__application=deployment.application,
                deployment__environment=environment,
                state__in=["running", "verifying", "failed"],
            )
            if going_back.exists():
                raise GateNotPassed(_("A rollback is under way in this environment."))
            # The steps and rules are those of the release's current plan: a scope locked since the request has its own
            # procedure and deployment process.
            deployment.procedure = release.procedure or deployment.procedure
            deployment.process = release.process
            deployment.plan_digest = digest(release.step_plan)
            first = create_steps(deployment, ("deployment", "verification"))[0]
            first.mark_ready()
            first.ready_at = op.at
            first.save(update_fields=["state", "ready_at"])
            deployment.blockers = []
            dispatch.wake_on_commit(environment.slug, "run_step", step_id=first.pk)
    except AlreadyExists as conflict:
        if conflict.constraint != "deployment_one_occupies":
            raise
        raise GateNotPassed(_("Another deployment is in progress in this environment.")) from conflict
    return deployment


def require_starter(deployment: Deployment) -> None:
    """Check, inside an open operation, whether the person who scheduled a deployment may still do so.

    Permission must hold now, not only then. Raises GateNotPassed also when the account is deactivated or the grant has
    expired.
    """
    starter, where = deployment.scheduled_by, (deployment.environment, deployment.application_id)
    if not (access.may(starter, "schedule", *where) or access.may(starter, "start", *where)):
        text = _("The person who scheduled this deployment no longer has permission to deploy to this environment.")
        raise GateNotPassed(text)


def create_steps(deployment: Deployment, phases: tuple[str, ...]) -> list[Step]:
    """Create the steps of the plan's phases on their targets, after the existing ones, inside an open operation.

    The steps of a rollback are made for the targets on which a step of the deployment has begun.
    """
    first = deployment.steps.count() + 1
    return Step.objects.bulk_create(
        Step(
            deployment=deployment,
            phase=laid.phase,
            ordinal=ordinal,
            target=laid.target,
            wave=laid.wave,
            batch=laid.batch,
            **{name: value for name, value in laid.row.items() if name != "on"},
        )
        for ordinal, laid in enumerate(steps_of(deployment, phases), start=first)
    )


def steps_of(deployment: Deployment, phases: tuple[str, ...]) -> list[Laid]:
    """Return the steps of the plan's phases on their targets, in order. Raises GateNotPassed."""
    rows = [(phase, row) for phase in phases for row in deployment.release.step_plan[phase]]
    process = deployment.process.document if deployment.process is not None else None
    targets = targets_in(deployment.application_id, deployment.environment_id)
    back = phases[0] in BACK and len(targets) > 1
    # Steps from before there were several targets name none: theirs is the first.
    touched = touched_by(deployment) or {targets[0].pk} if back else None
    try:
        return lay_out(rows, targets, process, touched)
    except NoSuchTargets as missing:
        text = _("No deployment target in %(environment)s belongs to the group “%(group)s”.")
        raise GateNotPassed(text % {"environment": deployment.environment, "group": missing}) from missing


def resolve_lower(deployment_id: int) -> None:
    """In an unprotected environment, resolve an earlier failure there as unknown, so that the next deployment may
    start.
    """
    asked = Deployment.objects.select_related("environment").get(pk=deployment_id)
    if asked.environment.protected:
        return
    stuck = Deployment.objects.filter(
        application=asked.application, environment=asked.environment, state__in=["failed", "stopped", "rollback_failed"]
    )
    for other in stuck.values_list("pk", flat=True):
        with operation("deployment:resolve", (Deployment, other), reason="the next run was queued") as op:
            held = op.get(Deployment)
            held.resolve()
            held.resolved_as = "unknown"
            held.ended_at = now()


def delay(deployment_id: int, reasons: tuple[str, ...]) -> None:
    """Delay a due deployment whose gates are not passed; the next try is RETRY later, and before the start just after
    it.
    """
    with operation("deployment:delay", (Deployment, deployment_id), reason=in_words("; ".join(reasons))) as op:
        deployment = op.get(Deployment)
        deployment.blockers = list(reasons)
        moment, hour = now(), deployment.scheduled_start_at
        deployment.not_before = hour + AHEAD if hour is not None and moment < hour else moment + RETRY


def return_to_scheduled(deployment_id: int, reasons: tuple[str, ...]) -> None:
    """Return a queued deployment to scheduled because a gate stopped passing before the first claim."""
    with operation(
        "deployment:return_to_scheduled", (Deployment, deployment_id), reason=in_words("; ".join(reasons))
    ) as op:
        deployment = op.get(Deployment)
        deployment.return_to_scheduled()
        deployment.steps.all().delete()
        deployment.blockers = list(reasons)
        deployment.not_before = now() + RETRY


def mark_missed(deployment_id: int) -> None:
    """Close a deployment whose window passed without a start: once, with one alarm, and without a later start."""
    with operation("deployment:mark_missed", (Deployment, deployment_id), reason="the window has passed") as op:
        deployment = op.get(Deployment)
        deployment.mark_missed()
        deployment.steps.all().delete()
        deployment.ended_at = now()

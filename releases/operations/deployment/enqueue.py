"""deployment:enqueue, deployment:delay, deployment:return_to_scheduled, deployment:mark_missed: the scheduler's verbs on a due run."""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import AlreadyExists, GateNotPassed
from environments import access
from environments.targets.words import told
from releases import dispatch
from releases.gates import evaluation
from releases.gates.content import digest
from releases.models import Deployment, Rollback, Step

RETRY = timedelta(seconds=60)
# So long before its hour a run is queued: at the hour nothing is left to do but to claim, with the gates asked again.
AHEAD = timedelta(seconds=0.5)


def enqueue(deployment_id: int) -> Deployment:
    """Ask the gates, as of the run's hour, and the starter's right again, lay the steps as rows, and offer the first.
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
            # Its steps are those of the release's plan now, and so are the rules: a scope locked since then has its own.
            deployment.procedure = release.procedure or deployment.procedure
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
    """Ask, inside an open operation, whether who scheduled a run may still do so: authority is of now, not of then.

    Raises GateNotPassed also when the account is closed or the grant has run out since.
    """
    starter, environment = deployment.scheduled_by, deployment.environment
    if not (access.may(starter, "schedule", environment) or access.may(starter, "start", environment)):
        text = _("The person who scheduled this deployment no longer has permission to deploy to this environment.")
        raise GateNotPassed(text)


def create_steps(deployment: Deployment, phases: tuple[str, ...]) -> list[Step]:
    """Make the rows of the plan's phases, after those that are there, inside an open operation."""
    rows = [(phase, row) for phase in phases for row in deployment.release.step_plan[phase]]
    first = deployment.steps.count() + 1
    return Step.objects.bulk_create(
        Step(deployment=deployment, phase=phase, ordinal=ordinal, **row)
        for ordinal, (phase, row) in enumerate(rows, start=first)
    )


def resolve_lower(deployment_id: int) -> None:
    """In an unprotected environment, settle what failed there before as unknown, so that the next run may come."""
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
    """Keep a due run whose gates are closed; the next try is RETRY later, and before its hour just after it."""
    with operation("deployment:delay", (Deployment, deployment_id), reason=told("; ".join(reasons))) as op:
        deployment = op.get(Deployment)
        deployment.blockers = list(reasons)
        moment, hour = now(), deployment.scheduled_start_at
        deployment.not_before = hour + AHEAD if hour is not None and moment < hour else moment + RETRY


def return_to_scheduled(deployment_id: int, reasons: tuple[str, ...]) -> None:
    """Take a queued run back because a gate closed before its first claim."""
    with operation(
        "deployment:return_to_scheduled", (Deployment, deployment_id), reason=told("; ".join(reasons))
    ) as op:
        deployment = op.get(Deployment)
        deployment.return_to_scheduled()
        deployment.steps.all().delete()
        deployment.blockers = list(reasons)
        deployment.not_before = now() + RETRY


def mark_missed(deployment_id: int) -> None:
    """Close a run whose window passed without a start: once, with one alarm, and no catching up."""
    with operation("deployment:mark_missed", (Deployment, deployment_id), reason="the window has passed") as op:
        deployment = op.get(Deployment)
        deployment.mark_missed()
        deployment.steps.all().delete()
        deployment.ended_at = now()

"""The gate of the rollback rehearsal: an earlier environment has deployed and rolled back the same plan (B3, B4)."""

from django.utils.translation import get_language

from environments import calendar
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.gates.content import digest
from releases.models import Deployment, Release
from releases.procedures.parts import Gate


def rehearsed(release: Release, environment: Environment) -> Deployment | None:
    """Return the last deployment of this content and plan that was rolled back, proved by digest, before
    `environment`.
    """
    deployments = Deployment.objects.filter(
        release=release,
        environment__order__lt=environment.order,
        state="rolled_back",
        plan_digest=digest(release.step_plan),
    ).select_related("environment")
    own = [deployment for deployment in deployments.order_by("ended_at") if deployment.brought_content_of(release)]
    return own[-1] if own else None


def ask(context: GateContext, gate: Gate) -> Answer:
    """Look for the rehearsal; a pass says where and when it was, and how long each direction took."""
    deployment = rehearsed(context.release, context.environment)
    if deployment is None:
        text = _("This plan has no rollback rehearsal in an earlier environment. Run a rollback rehearsal there.")
        return not_passed(gate, text, "deployments")
    at = (
        calendar.print_time(deployment.ended_at, deployment.environment.zone, get_language() or "ja")
        if deployment.ended_at
        else "—"
    )
    out, back = (
        seconds(deployment, phases)
        for phases in (("deployment", "verification"), ("rollback", "rollback_verification"))
    )
    text = _("The rollback was rehearsed in %(environment)s, %(at)s: deployment %(out)d s, rollback %(back)d s.")
    return passed(
        gate, text % {"environment": deployment.environment, "at": at, "out": out, "back": back}, "deployments"
    )


def seconds(deployment: Deployment, phases: tuple[str, ...]) -> float:
    """Return how long the steps of these phases took, from the first beginning to the last end."""
    steps = [
        s for s in deployment.steps.filter(phase__in=phases) if s.started_at is not None and s.ended_at is not None
    ]
    if not steps:
        return 0.0
    return (max(s.ended_at for s in steps) - min(s.started_at for s in steps)).total_seconds()  # type: ignore[type-var,operator]

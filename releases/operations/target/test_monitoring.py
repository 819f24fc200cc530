"""target:test_monitoring: how a target is monitored (R7, B1), and which private networks may be asked for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet

from audit.operation import operation
from environments import access
from environments.models import Account, DeploymentTarget
from environments.targets.masking import clean
from environments.targets.words import gettext as _
from releases.metric_sources.base import TargetSource
from releases.metric_sources.collection import Looked, look, places_of
from releases.models import Deployment, MonitoringPeriod
from releases.queries.target_spec import configuration_deployed, spec_of
from releases.queries.target_validity import require_valid


def not_over(target: DeploymentTarget) -> QuerySet[Deployment]:
    """Return the deployments of a target that are scheduled, under way or monitored."""
    # From its scheduling on: what is measured before, between and after its steps is compared.
    monitored = MonitoringPeriod.objects.filter(ended_at=None).values("deployment")
    deployments = Deployment.objects.filter(application=target.application, environment=target.environment)
    return deployments.filter(Q(state__in=[*Deployment.OCCUPYING, *Deployment.WAITING_TO_RUN]) | Q(pk__in=monitored))


def why_not_permitted(account: Account, target: DeploymentTarget) -> str:
    """Return why a person may not set how a target is monitored; empty where they may."""
    deployments = not_over(target).select_related("scheduled_by", "requested_by")
    if any(deployment.was_started_by(account) for deployment in deployments):
        return _("You have scheduled the monitored deployment; another person sets its metric sources.")
    return ""


def try_sources(
    target_id: int, *, sources: Sequence[Mapping[str, Any]], private_networks: Sequence[str] = ()
) -> Looked:
    """Measure once through sources that are not kept yet; needs the same permission and signature as keeping them.

    No program of the target is run, and its host is not entered: this is the web process and not a worker. Raises
    InvalidInput for faults.
    """
    with operation("target:test_monitoring", (DeploymentTarget, target_id), sign=True) as op:
        access.require("edit_target")
        target = op.get(DeploymentTarget)
        settings = {**target.options, "metric_sources": list(sources), "private_networks": list(private_networks)}
        require_valid(settings)
        op.details["sources"] = list(sources)
    elsewhere = bool(settings.get("ssh"))
    places = [
        place
        for place in places_of(settings)
        if not place.source.runs_program and not (elsewhere and isinstance(place.source, TargetSource))
    ]
    given: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    if any(place.source.needs_configuration for place in places):
        given, secrets = configuration_deployed(target.application, target.environment)
    looked = look(replace(spec_of(target), settings=settings), places, {}, given)
    return replace(looked, errors={key: clean(text, secrets) for key, text in looked.errors.items()})

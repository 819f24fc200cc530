"""The location, options, outbound hosts and monitoring of a deployment target: target:create and target:set_*.

In a protected environment a second person confirms each of them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import plain
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import access
from environments.models import Account, Application, DeploymentTarget, Environment, RequestedChange
from environments.operations.requested_change.decide import OPERATIONS, apply_or_request
from environments.targets.base import StepFailed
from releases.models import Deployment, Rollback
from releases.operations.target.test_monitoring import not_over, why_not_permitted
from releases.queries.target_spec import spec_of
from releases.queries.target_validity import require_separate, require_valid, shared

# The options that target:set_monitoring and target:set_outbound_hosts change.
OWN = ("metric_sources", "private_networks", "http_hosts")


def create_target(
    *,
    application_id: int,
    environment_id: int,
    root: str,
    settings: dict[str, Any],
    name: str = DeploymentTarget.ONLY,
    group: str = "",
    reason: str = "",
) -> Any:
    """Set the folder and the commands of an application's copy in an environment; return the target or the request.

    name: tells several copies in the environment apart. group: by which steps name some of them.
    """
    target = DeploymentTarget(
        application=Application.objects.get(pk=application_id),
        environment=Environment.objects.get(pk=environment_id),
        name=name,
        group=group,
        root=root,
        options=settings,
    )
    other = _shared_there(target)
    with operation("target:create", reason=reason, sign=True) as op:
        account = access.require("edit_target", application=application_id)
        _require_unshared(other)
        group = plain(group, _("group")) if group.strip() else ""
        values = {"root": root, "options": settings, "name": plain(name, _("name")), "group": group}
        return apply_or_request(op, target, values, by=account, two=target.environment.protected, reason=reason)


def set_settings(
    target_id: int, *, root: str, settings: dict[str, Any], reason: str, group: str | None = None
) -> DeploymentTarget | RequestedChange:
    """Change the folder, the group and the commands of a target, without the options that have operations of their own
    (OWN). group: left out, it stays.

    Refused while a deployment there is scheduled, under way, monitored or rolled back. An approval with other commands
    is invalidated.
    """
    given = {name: value for name, value in settings.items() if name not in OWN}
    more = {"root": root} | ({"group": group} if group is not None else {})
    return _set("target:set_options", target_id, reason, given, keeps=OWN, **more)


def set_hosts(target_id: int, *, hosts: Sequence[str] = (), reason: str) -> DeploymentTarget | RequestedChange:
    """Set the hosts (`api.example.org`, `10.1.2.3:8443`) that a target's steps may call from now on; no other one.

    Refused and invalidating as `set_settings` is.
    """
    return _set("target:set_outbound_hosts", target_id, reason, {"http_hosts": list(hosts)})


def set_metric_sources(
    target_id: int, *, sources: Sequence[Mapping[str, Any]], private_networks: Sequence[str] = (), reason: str
) -> DeploymentTarget | RequestedChange:
    """Set the sources by which a target is monitored from its next measurement on; refused with the place of every
    fault.
    """
    given = {"metric_sources": list(sources), "private_networks": list(private_networks)}
    return _set("target:set_monitoring", target_id, reason, given)


def _set(
    event: str, target_id: int, reason: str, given: Mapping[str, Any], *, keeps: Sequence[str] = (), **columns: str
) -> Any:
    other = ""
    if columns:
        seen = DeploymentTarget.every.select_related("application", "environment").get(pk=target_id)
        seen.root, seen.options = columns["root"], dict(given)
        other = _shared_there(seen)
    with operation(event, (DeploymentTarget, target_id), reason=reason, sign=True) as op:
        account = access.require("edit_target")
        _require_unshared(other)
        op.require_reason()
        target = op.get(DeploymentTarget)
        kept = {name: value for name, value in target.options.items() if not keeps or name in keeps}
        values: dict[str, Any] = {"options": {**kept, **given}, **columns}
        return apply_or_request(op, target, values, by=account, two=target.environment.protected, reason=reason)


def _require_possible(target: DeploymentTarget, persons: tuple[Account, ...]) -> None:
    require_valid(target.options)
    require_separate(target)


def _shared_there(target: DeploymentTarget) -> str:
    """Return which target lies in the same folder of another host, asked before the operation opens.

    A host that cannot be reached yet is asked when a deployment starts, and holds it up.
    """
    if "ssh" in target.options and access.may(
        access.current_account(), "edit_target", application=target.application_id
    ):
        with suppress(StepFailed):
            return shared(target, spec_of(target))
    return ""


def _require_unshared(other: str) -> None:
    if other:
        raise InvalidInput(_("Another deployment target is already there: %(target)s") % {"target": other})


def _require_new(target: DeploymentTarget, persons: tuple[Account, ...]) -> None:
    if target.application.retired:
        raise GateNotPassed(_("%(application)s is retired. Reinstate it first.") % {"application": target.application})
    here = DeploymentTarget.every.filter(application=target.application, environment=target.environment)
    known = here.filter(name=target.name).first()
    if known is not None and known.retired:
        text = _("A retired deployment target has the name “%(name)s”. Reinstate it, or choose another name.")
        raise InvalidInput(text % {"name": target.name})
    if known is not None:
        text = _(
            "This application already has a deployment target “%(name)s” in %(environment)s: %(root)s. "
            "Change the folder and commands of that deployment target, or choose another name."
        )
        raise InvalidInput(text % {"name": target.name, "environment": target.environment, "root": known.root})
    if here.exists():
        _require_no_deployment(target)
    _require_possible(target, persons)


def _require_no_deployment(target: DeploymentTarget) -> None:
    """Refuse a further target while a deployment there is not over: it would have steps on all but this one."""
    if deployment := not_over(target).first():
        text = _("%(run)s has not ended. No deployment target can be added until then.")
        raise GateNotPassed(text % {"run": deployment})


def require_idle_and_valid(target: DeploymentTarget, persons: tuple[Account, ...]) -> None:
    """Raise an OperationRefused unless a target's options are valid, and no deployment there is under way."""
    _require_possible(target, persons)
    require_idle(target)


def require_idle(target: DeploymentTarget) -> None:
    """Raise GateNotPassed while a deployment of a target is scheduled, under way, monitored or rolled back."""
    deployments = Deployment.objects.filter(application=target.application, environment=target.environment)
    back = Rollback.objects.filter(deployment__in=deployments).exclude(state__in=[*Rollback.ENDS, "reporting"]).first()
    if deployment := not_over(target).first() or (back and back.deployment):
        raise GateNotPassed(
            _("%(run)s has not ended. The deployment target cannot be changed until then.") % {"run": deployment}
        )


def _require_others(target: DeploymentTarget, persons: tuple[Account, ...]) -> None:
    for account in persons:
        if why := why_not_permitted(account, target):
            raise NotPermitted(why)
    _require_possible(target, persons)


OPERATIONS |= {
    "target:create": ("edit_target", _require_new),
    "target:set_options": ("edit_target", require_idle_and_valid),
    "target:set_outbound_hosts": ("edit_target", require_idle_and_valid),
    "target:set_monitoring": ("edit_target", _require_others),
}

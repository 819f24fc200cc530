"""target:retire and target:reinstate: a target that Ringi leaves alone from now on, with its history."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import GateNotPassed
from environments import access
from environments.models import Account, DeploymentTarget, RequestedChange
from environments.operations.requested_change.decide import OPERATIONS, apply_or_request
from releases.operations.target.set_settings import require_idle, require_idle_and_valid


def retire(target_id: int, *, reason: str) -> DeploymentTarget | RequestedChange:
    """Take a target out of use: no deployment has steps there, and it is not measured. Nothing on its host changes.

    Refused while a deployment there is scheduled, under way, monitored or rolled back. An approval for the targets with
    this one is invalidated. In a protected environment a second person confirms it.
    """
    return _set("target:retire", target_id, reason, retired=True)


def reinstate(target_id: int, *, reason: str) -> DeploymentTarget | RequestedChange:
    """Take a retired target into use again, refused and confirmed as `retire` is."""
    return _set("target:reinstate", target_id, reason, retired=False)


def _set(event: str, target_id: int, reason: str, *, retired: bool) -> DeploymentTarget | RequestedChange:
    with operation(event, (DeploymentTarget, target_id), reason=reason, sign=True) as op:
        account = access.require("edit_target")
        op.require_reason()
        target = op.get(DeploymentTarget)
        two = target.environment.protected
        return apply_or_request(op, target, {"retired": retired}, by=account, two=two, reason=reason)  # type: ignore[return-value]


def _require_in_use(target: DeploymentTarget, persons: tuple[Account, ...]) -> None:
    if target.application.retired:
        raise GateNotPassed(_("%(application)s is retired. Reinstate it first.") % {"application": target.application})
    require_idle_and_valid(target, persons)


OPERATIONS |= {
    "target:retire": ("edit_target", lambda target, persons: require_idle(target)),
    "target:reinstate": ("edit_target", _require_in_use),
}

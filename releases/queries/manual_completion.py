"""The state of the target after a manually completed rollback: as measured, as stated by a person, and in words."""

from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext as _

from environments.language import noted
from environments.models import DeploymentTarget
from environments.models.environment import targets_in
from environments.targets.base import StepFailed
from environments.targets.examine import maintenance_is_on
from releases import check_types
from releases.check_types.base import CheckContext, Result
from releases.models import Deployment
from releases.queries.target_spec import configuration_of, spec_of

Maintenance = Literal["on", "off"]
Service = Literal["running", "stopped", "none"]
SERVICE_OF = {Result.PASSED: "running", Result.FAILED: "stopped", Result.NO_DATA: "none"}


def looked(deployment: Deployment) -> dict[str, str]:
    """Measure the target, outside any operation; return {maintenance, service, said}.

    maintenance: on, off or unknown. service: running, stopped, none (the target has none) or unknown. said: the message
    of the service's measurement, or why it could not be measured. Of several targets the worst counts.
    """
    found = [_looked(deployment, target) for target in targets_in(deployment.application, deployment.environment)]
    said = [noted(one["said"], name) if len(found) > 1 else one["said"] for name, one in found if one["said"]]
    return {
        "maintenance": min((one["maintenance"] for _name, one in found), key=("on", "unknown", "off").index),
        "service": min((one["service"] for _name, one in found), key=("stopped", "unknown", "running", "none").index),
        "said": "\n".join(said),
    }


def _looked(deployment: Deployment, target: DeploymentTarget) -> tuple[str, dict[str, str]]:
    base = deployment.previous.get("deployed_version", {})
    values, secrets = configuration_of(base.get("configuration"))
    try:
        spec = spec_of(target, base.get("configuration"))
        maintenance = "on" if maintenance_is_on(spec) else "off"
    except StepFailed as fault:
        return target.name, {"maintenance": "unknown", "service": "unknown", "said": str(fault)}
    kind = check_types.by_name("service_state")
    result = kind.run(CheckContext(spec, values, secrets), kind.parameters())
    said = "" if result.result is Result.PASSED else result.output
    service = SERVICE_OF.get(result.result, "unknown")
    return target.name, {"maintenance": maintenance, "service": service, "said": said}


def troubles(entry: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that keeps users from the service, as measured or as stated; empty for none."""
    measured = entry["measured"]
    found = []
    if "on" in (entry["maintenance"], measured["maintenance"]):
        found.append(_("Maintenance mode is still on (%(how)s).") % {"how": _how(entry, "maintenance", "on")})
    if "stopped" in (entry["service"], measured["service"]):
        found.append(_("The service does not run as it should (%(how)s).") % {"how": _how(entry, "service", "stopped")})
    return found


def _how(entry: Mapping[str, Any], name: str, value: str) -> str:
    return _("as measured") if entry["measured"][name] == value else _("as stated")


def statement(entry: Mapping[str, Any]) -> str:
    """Return one person's statement with what was measured at that moment, in the reader's language."""
    if "measured" not in entry:
        return str(entry["name"])
    named = {
        "on": _("on"),
        "off": _("off"),
        "running": _("runs"),
        "stopped": _("does not run"),
        "none": _("the target has none"),
        "unknown": _("not measured"),
    }
    text = _(
        "%(name)s: maintenance mode %(maintenance)s (measured: %(maintenance_seen)s), service %(service)s "
        "(measured: %(service_seen)s)"
    )
    return text % {
        "name": entry["name"],
        "maintenance": named[entry["maintenance"]],
        "maintenance_seen": named[entry["measured"]["maintenance"]],
        "service": named[entry["service"]],
        "service_seen": named[entry["measured"]["service"]],
    }

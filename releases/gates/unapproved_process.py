"""The gate against a deployment process that was never approved, in every protected environment."""

from django.utils.translation import override

from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import DeploymentProcess

KEY = "unapproved_process"


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the gate as not passed for a release whose deployment process was never approved; None where it was."""
    if not (why := not_approved(environment, known.release.process)):
        return None
    return Answer(KEY, "not_passed", why, "plan", _label("ja"), _label("en"), kind=KEY)


def not_approved(environment: Environment, process: DeploymentProcess | None) -> str:
    """Return that a protected environment does not take a version; empty when it does."""
    if not environment.protected or process is None or process.approved:
        return ""
    text = _("Version %(number)s of the deployment process is not approved. Submit it for approval.")
    return text % {"number": process.number}


def _label(language: str) -> str:
    with override(language):
        return _("Approved deployment process")

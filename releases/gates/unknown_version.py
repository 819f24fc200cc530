"""The gate against a start from an unknown state, in every protected environment; an emergency alone may follow."""

from django.utils.translation import override

from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import DeployedVersion, Release

KEY = "unknown_version"


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the gate as not passed where it is unknown what runs; None where it is known, and for an emergency."""
    if not environment.protected or known.release.kind == Release.Kind.EMERGENCY:
        return None
    rows = DeployedVersion.of(known.release.application_id)
    if not any(row.unknown for row in rows if row.environment == environment):
        return None
    text = _("The deployed version in this environment is unknown. Only an emergency release may follow.")
    return Answer(KEY, "not_passed", text, "deployments", _label("ja"), _label("en"), kind=KEY)


def _label(language: str) -> str:
    with override(language):
        return _("Known deployed version")

"""The gate against older versions that would replace newer ones, in every protected environment."""

from django.utils.translation import override

from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import Release
from releases.sources import versions

KEY = "outdated"


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the gate as not passed for a version older than the deployed one; None where it is not older.

    An emergency release passes below production: it fixes what runs in production, and an earlier environment may hold
    the next version already. A rollback asks no gate.
    """
    release, pointer = known.release, known.deployed_versions.get(environment.pk) if environment.protected else None
    if pointer is None or pointer.release is None:
        return None
    if versions.compare(release.version, pointer.release.version) >= 0:
        return None
    if release.kind == Release.Kind.EMERGENCY and environment.tier != Environment.Tier.PRODUCTION:
        return None
    text = _(
        "The newer version %(newer)s is deployed in %(environment)s, and %(older)s does not replace it. Roll "
        "%(newer)s back, or plan a higher version."
    )
    named = {"environment": environment, "newer": pointer.release.version, "older": release.version}
    return Answer(KEY, "not_passed", text % named, "gates", _label("ja"), _label("en"), kind=KEY)


def _label(language: str) -> str:
    with override(language):
        return _("No older version over a newer one")

"""The gate of the ledger: until it holds and is signed, nothing new starts in a protected environment, whatever the
gates of its procedure. What runs, rollbacks, monitoring, the emergency stop and emergency releases go on.
"""

from django.conf import settings
from django.utils.translation import override

from audit.refusals import GateNotPassed
from audit.standing import Standing, standing
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import Release

KEY = "ledger"


def fault(stand: Standing) -> str:
    """Return what is wrong with the ledger, and what to do; empty where nothing is."""
    if stand.fault is not None:
        text = _(
            "The verification of the ledger failed (%(finding)s), so nothing new starts here. Restore what "
            "was altered, "
            "or have two people accept the finding."
        )
        return text % {"finding": stand.fault.words}
    if settings.HEARTBEAT_TIMEOUT and stand.unsigned is not None and stand.unsigned > settings.HEARTBEAT_TIMEOUT:
        text = _(
            "The ledger signer is unresponsive: events have waited for a signature for %(seconds)d seconds, "
            "so nothing new "
            "starts here. Start it again, or see why it refuses."
        )
        return text % {"seconds": stand.unsigned}
    return ""


def require(environment: Environment | None) -> None:
    """Raise GateNotPassed where nothing new may start or be approved: in a protected environment, until the ledger
    holds.
    """
    if environment is not None and environment.protected and (why := fault(standing())):
        raise GateNotPassed(why)


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the gate as not passed, or None while the ledger holds; no waiver lets it pass."""
    if not environment.protected or known.release.kind == Release.Kind.EMERGENCY:
        return None
    why = fault(known.ledger)
    return Answer(KEY, "not_passed", why, "gates", _label("ja"), _label("en"), kind=KEY) if why else None


def _label(language: str) -> str:
    with override(language):
        return _("Ledger")

"""The gate of promotion: each earlier environment has verified the same content (E1)."""

from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.procedures.parts import Gate


def ask(context: GateContext, gate: Gate) -> Answer:
    """Look for a verified deployment of this release, with this tree, in every earlier environment that has a
    target.
    """
    known = context.known
    for environment in known.places:
        if environment.order < context.environment.order and environment.pk not in known.verified:
            text = _("The release has not been verified in %(environment)s yet.")
            return not_passed(gate, text % {"environment": environment}, "deployments")
    return passed(gate)

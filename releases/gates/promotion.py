"""The gate of promotion: each earlier environment has verified the same content (E1), and long enough ago."""

from datetime import timedelta

from django.utils.translation import get_language

from environments import calendar
from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.procedures.parts import Gate


def ask(context: GateContext, gate: Gate) -> Answer:
    """Look for a verified deployment of this release, with this tree, in every earlier environment that has a
    target; the deployment that is asked about begins at least the gate's hours after that.
    """
    known = context.known
    earlier = [place for place in known.places if place.order < context.environment.order]
    for environment in earlier:
        if environment.pk not in known.verified:
            text = _("The release has not been verified in %(environment)s yet.")
            return not_passed(gate, text % {"environment": environment}, "deployments")
    for environment in earlier if gate.hours else ():
        ends = known.verified_at[environment.pk] + timedelta(hours=gate.hours)
        if context.at < ends:
            when = calendar.print_time(ends, context.environment.zone, get_language() or "ja")
            text = _("The release stays in %(environment)s for %(hours)d h after its verification, until %(when)s.")
            values = {"environment": environment, "hours": gate.hours, "when": when}
            return not_passed(gate, text % values, "deployments")
    return passed(gate)

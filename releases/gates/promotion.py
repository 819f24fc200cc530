"""Has the same content been verified in each earlier environment? (E1)"""

from __future__ import annotations

from django.utils.translation import gettext as _

from environments.models import Environment
from releases.gates.base import Answer, Question, failed, passed
from releases.models import Deployment
from releases.procedures.parts import Gate


def ask(question: Question, gate: Gate) -> Answer:
    """Look for a verified run of this release, with this tree, in every earlier environment that has a target."""
    release = question.release
    earlier = Environment.objects.filter(order__lt=question.environment.order, targets__application=release.application)
    for environment in earlier:
        verified = Deployment.objects.filter(
            release=release,
            environment=environment,
            state__in=Deployment.VERIFIED,
            base__wanted_tree=release.tree,
        )
        if not verified.exists():
            text = _("It has not been verified in %(environment)s yet.")
            return failed(gate, text % {"environment": environment}, "deployments")
    return passed(gate)

"""Does a freeze forbid it now?"""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from environments.models import Freeze
from releases.gates.base import Answer, Question, failed, passed
from releases.procedures.parts import Gate


def ask(question: Question, gate: Gate) -> Answer:
    """Deny beats allow; an emergency passes a freeze that is not absolute."""
    active = Freeze.objects.filter(
        Q(application=None) | Q(application=question.release.application),
        environment=question.environment,
        starts_at__lte=question.at,
        ends_at__gt=question.at,
    )
    if question.emergency:
        active = active.filter(absolute=True)
    freeze = active.order_by("-ends_at").first()
    if freeze is None:
        return passed(gate)
    text = _("Freeze “%(name)s” until %(end)s: %(reason)s")
    return failed(gate, text % {"name": freeze.name, "end": freeze.ends_at, "reason": freeze.reason}, "plan")

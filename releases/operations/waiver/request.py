"""waiver:request: ask a second person to let a closed gate, or a late milestone, pass for a time (P2, P3)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Environment
from releases.gates.base import procedure_of
from releases.gates.evaluation import WAIVABLE
from releases.models import Release, Waiver
from releases.models.waiver import NOTIFICATIONS_SENT, NOTIFICATIONS_SENT_WAIVER
from releases.operations.release.step_plan import production_of
from releases.operations.waiver.decide import deciders_of, why_already_decided
from releases.procedures.document import Procedure as Content

MILESTONE = "milestone:"


def waivable(release: Release) -> list[tuple[str, str, str]]:
    """Return (key, Japanese, English) of everything that may be waived for a release: gates, late milestones, and
    an announcement that did not reach everybody.
    """
    return waivable_in(procedure_of(release))


def waivable_in(content: Content) -> list[tuple[str, str, str]]:
    """Return the same of a procedure."""
    # A freeze too, by the exception that its gate itself looks for: never from an absolute one.
    gates = [
        (gate.key, gate.ja, gate.en) for gate in content.gates if gate.type in WAIVABLE or gate.type == "change_freeze"
    ]
    dates = [(MILESTONE + m.key, m.ja, m.en) for m in content.milestones if m.guards != "start"]
    return (
        gates
        + dates
        + [
            (NOTIFICATIONS_SENT_WAIVER, item.ja, item.en)
            for item in content.final_check.items
            if item.key == NOTIFICATIONS_SENT
        ]
    )


def request_waiver(release_id: int, *, environment_id: int, gate: str, until: datetime, reason: str) -> Waiver:
    """Propose a waiver; it counts for nothing until another person approves it."""
    with operation("waiver:request", (Release, release_id), reason=reason, sign=True) as op:
        account = access.require("request_waiver")
        release = op.get(Release)
        if why := why_already_decided(account, deciders_of(release.pk)):
            raise NotPermitted(why)
        if release.state not in Release.PREPARING:
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": release.get_state_display()})
        op.require_reason()
        if gate not in {key for key, _ja, _en in waivable(release)}:
            raise InvalidInput(_("This can never be waived: %(gate)s") % {"gate": gate})
        if until <= now():
            raise InvalidInput(_("The end lies in the past."))
        environment = Environment.objects.get(pk=environment_id)
        if gate.startswith((MILESTONE, NOTIFICATIONS_SENT_WAIVER)) and environment != production_of(release):
            raise InvalidInput(_("This waiver must be for the protected environment that the release goes to."))
        same = Waiver.objects.filter(
            release=release, environment=environment, gate=gate, rejected_at=None, revoked_at=None, until__gt=now()
        )
        if same.exists():
            raise NotPossible(_("There is a waiver of this gate already."))
        waiver = Waiver.objects.create(
            release=release, environment=environment, gate=gate, reason=reason, until=until, requested_by=account
        )
        op.signature()
        op.about(waiver, gate=gate, environment=environment.slug)
    return waiver

"""waiver:request: a second person is asked to let a failed gate or a late milestone pass for a time (P2, P3)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Environment
from releases.models import Release, Waiver
from releases.models.waiver import NOTIFICATIONS_SENT_WAIVER
from releases.operations.waiver.decide import deciders_of, why_already_decided
from releases.queries.step_plan import production_of
from releases.queries.waivable import MILESTONE, waivable


def request_waiver(release_id: int, *, environment_id: int, gate: str, until: datetime, reason: str) -> Waiver:
    """Request a waiver; it has no effect until another person confirms it."""
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

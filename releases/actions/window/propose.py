"""window:propose: ask the committee for one extra window (P1)."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid
from environments import access
from environments.models import Application, ChangeWindow, Environment
from releases.actions.release.plan import active_procedure
from releases.gates.content import digest
from releases.models import ConsentRound


def propose(
    environment_id: int,
    *,
    application_id: int,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
) -> ConsentRound:
    """Apply for an extra window; it opens when the round that the procedure asks for is granted."""
    with change("window:propose", (Environment, environment_id), reason=reason) as act:
        applicant = access.require("propose_window")
        environment = act.get(Environment)
        if not reason.strip():
            raise Invalid(_("An extra window needs a reason."))
        if ends_at <= starts_at or ends_at <= now():
            raise Invalid(_("The end lies before the beginning or in the past."))
        rules = [
            {"stage": rule.stage, "role": rule.role, "number": rule.number}
            for rule in active_procedure().document.approvals_for("extra_window", environment.tier)
        ]
        if not rules:
            raise GateClosed(_("The procedure has no approval rule for this; so nobody can consent."))
        application = Application.objects.get(pk=application_id)
        window = ChangeWindow.objects.create(
            name=name,
            environment=environment,
            application=application,
            zone=environment.zone,
            starts_at=starts_at,
            ends_at=ends_at,
            reason=reason,
            proposed_by=applicant,
        )
        content = {
            "window": window.pk,
            "application": application.slug,
            "environment": environment.slug,
            "start": starts_at.isoformat(),
            "end": ends_at.isoformat(),
            "reason": reason,
        }
        round_ = ConsentRound.objects.create(
            subject="extra_window",
            window=window,
            environment=environment,
            document=content,
            digest=digest(content),
            rules=rules,
            applicant=applicant,
            window_end=ends_at,
        )
        act.about(window, round=round_.pk)
    return round_

"""rollback:take_over: a way back that faltered was finished by hand; two people stand for it with their names."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account
from releases.actions.rollback.draft import draft_documents
from releases.actions.step.finish import drop_rest
from releases.models import Deployment, Rollback


def take_over(rollback_id: int, *, reason: str) -> Rollback:
    """Say that the target was brought back by hand: the first call writes it down, another person's makes it so.

    The run itself is then settled (deployment:settle), and the rollback is reported and closed as any other.
    """
    peek = Rollback.objects.get(pk=rollback_id)
    with change(
        "rollback:take_over", (Rollback, rollback_id), (Deployment, peek.deployment_id), reason=reason, sign=True
    ) as act:
        rollback, deployment = act.get(Rollback), act.get(Deployment)
        account = access.require("roll_back", deployment.environment)
        if not reason.strip():
            raise Invalid(_("Say what was done."))
        act.signature("take_over")
        entry = {"account": account.pk, "name": str(account), "note": reason, "at": now().isoformat()}
        first = rollback.facts.get("by_hand", [])
        if why := not_yours(account, rollback):
            raise NotYou(why)
        if rollback.state != "faltered":
            raise WrongState(
                _("This cannot be done while it is “%(state)s”.") % {"state": rollback.get_state_display()}
            )
        rollback.facts = {**rollback.facts, "by_hand": [*first, entry]}
        if first:
            rollback.take_over()
            drop_rest(deployment)
            draft_documents(rollback)
    return rollback


def not_yours(account: Account, rollback: Rollback) -> str:
    """Return why a person may not say that it was done by hand; empty when he may: two persons say it."""
    first = rollback.facts.get("by_hand", [])
    if first and first[0]["account"] in account.accounts:
        return _("This must be another person than the one before.")
    return ""

"""rollback:complete_manually: a way back that faltered was finished by hand; two people stand for it with their names."""

from typing import Any, get_args

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account
from releases.actions.rollback import by_hand
from releases.actions.rollback.draft import draft_documents
from releases.actions.step.finish import drop_rest
from releases.models import Deployment, Rollback


def take_over(
    rollback_id: int, *, maintenance: by_hand.Maintenance, service: by_hand.Service, reason: str, accepted: bool = False
) -> Rollback:
    """Say that the target was brought back by hand: the first call writes it down, another person's makes it so.

    maintenance, service: in what state the person leaves them; both are measured on the target too, where it can be reached,
    and kept with the statement. accepted: the person knows that maintenance is still on or that the service does not run;
    without it that is refused.

    The run itself is then settled (deployment:resolve), and the rollback is reported and closed as any other.
    """
    peek = Rollback.objects.select_related("deployment__environment").get(pk=rollback_id)
    run = peek.deployment
    may_look = access.may(access.current_account(), "roll_back", run.environment) and peek.state == "failed"
    measured = by_hand.looked(run) if may_look else {"maintenance": "unknown", "service": "unknown", "said": ""}
    with change(
        "rollback:complete_manually",
        (Rollback, rollback_id),
        (Deployment, peek.deployment_id),
        reason=reason,
        sign=True,
    ) as act:
        rollback, deployment = act.get(Rollback), act.get(Deployment)
        account = access.require("roll_back", deployment.environment)
        if not reason.strip():
            raise Invalid(_("Say what was done."))
        act.signature("take_over")
        entry: dict[str, Any] = {"account": account.pk, "name": str(account), "note": reason, "at": now().isoformat()}
        entry |= {"maintenance": maintenance, "service": service, "measured": measured}
        if maintenance not in get_args(by_hand.Maintenance) or service not in get_args(by_hand.Service):
            raise Invalid(_("Say whether maintenance mode is on and whether the service runs."))
        first = rollback.facts.get("by_hand", [])
        if why := not_yours(account, rollback):
            raise NotYou(why)
        if rollback.state != "failed":
            text = _("This operation is not possible in the state “%(state)s”.")
            raise WrongState(text % {"state": rollback.get_state_display()})
        if (wrong := by_hand.troubles(entry)) and not accepted:
            raise Invalid(*wrong, _("Correct the problem first, or tick the box to leave it as it is."))
        act.details.update(maintenance=maintenance, service=service, measured=measured, left_so=wrong)
        rollback.facts = {**rollback.facts, "by_hand": [*first, entry]}
        if first:
            rollback.complete_manually()
            drop_rest(deployment)
            draft_documents(rollback)
    return rollback


def not_yours(account: Account, rollback: Rollback) -> str:
    """Return why a person may not say that it was done by hand; empty when he may: two persons say it."""
    first = rollback.facts.get("by_hand", [])
    if first and first[0]["account"] in account.accounts:
        return _("A different person from the one before must do this.")
    return ""

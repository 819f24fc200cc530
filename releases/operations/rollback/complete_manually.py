"""rollback:complete_manually: a failed rollback was completed by hand, as two people confirm with their names."""

from typing import Any, get_args

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.gates.base import procedure_of
from releases.models import Deployment, Rollback
from releases.operations.document.review import create
from releases.queries import manual_completion
from releases.queries.rollback_drafts import drafts


def complete_manually(
    rollback_id: int,
    *,
    maintenance: manual_completion.Maintenance,
    service: manual_completion.Service,
    reason: str,
    accepted: bool = False,
) -> Rollback:
    """Say that the target was restored by hand: the first call records the statement, another person's confirms it.

    maintenance, service: the state in which the person leaves them; both are measured on the target too, where it can
    be reached, and kept with the statement. accepted: the person knows that maintenance is still on or that the service
    does not run; without it that is refused.

    The deployment itself is then resolved (deployment:resolve), and the rollback is reported and closed as any other.
    """
    unlocked = Rollback.objects.select_related("deployment__environment").get(pk=rollback_id)
    run = unlocked.deployment
    may_look = (
        access.may(access.current_account(), "roll_back", run.environment, run.application_id)
        and unlocked.state == "failed"
    )
    measured = (
        manual_completion.looked(run) if may_look else {"maintenance": "unknown", "service": "unknown", "said": ""}
    )
    with operation(
        "rollback:complete_manually",
        (Rollback, rollback_id),
        (Deployment, unlocked.deployment_id),
        reason=reason,
        sign=True,
    ) as op:
        rollback, deployment = op.get(Rollback), op.get(Deployment)
        account = access.require("roll_back", deployment.environment)
        if is_blank(reason):
            raise InvalidInput(_("Say what was done."))
        op.signature()
        entry: dict[str, Any] = {"account": account.pk, "name": str(account), "note": reason, "at": now().isoformat()}
        entry |= {"maintenance": maintenance, "service": service, "measured": measured}
        if maintenance not in get_args(manual_completion.Maintenance) or service not in get_args(
            manual_completion.Service
        ):
            raise InvalidInput(_("Say whether maintenance mode is on and whether the service runs."))
        stated, first = rollback.facts.get("manual_completions", []), counting(rollback)
        if rollback.state != "failed":
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": rollback.get_state_display()})
        if why := why_not_permitted(account, rollback):
            raise NotPermitted(why)
        if (wrong := manual_completion.troubles(entry)) and not accepted:
            raise InvalidInput(*wrong, _("Correct the problem first, or tick the box to leave it as it is."))
        op.details.update(maintenance=maintenance, service=service, measured=measured, accepted_problems=wrong)
        rollback.facts = {**rollback.facts, "manual_completions": [*stated, entry]}
        if first:
            rollback.complete_manually()
            deployment.cancel_rest(now())
            draft_documents(rollback)
    return rollback


def why_not_permitted(account: Account, rollback: Rollback) -> str:
    """Return why a person may not state or confirm it; empty when they may: two persons are needed."""
    if any(entry["account"] in account.accounts for entry in counting(rollback)):
        return _("A different person from the one before must do this.")
    return ""


def counting(rollback: Rollback) -> list[dict[str, Any]]:
    """Return the statements of those who may still make one: after a person has left, another one states it first."""
    stated, run = rollback.facts.get("manual_completions", []), rollback.deployment
    people = Account.objects.in_bulk([entry["account"] for entry in stated])
    where = (run.environment, run.application_id)
    return [entry for entry in stated if access.may(people.get(entry["account"]), "roll_back", *where)]


def draft_documents(rollback: Rollback) -> None:
    """Draft report, cause and prevention from the facts, inside an open operation; an existing one is left alone."""
    texts, content = drafts(rollback), procedure_of(rollback.deployment.release)
    for row in content.rollback.documents:
        create(rollback, row, content, texts[row.key])

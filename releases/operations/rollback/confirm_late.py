"""rollback:confirm_late: confirmations beside the decision maker for a late rollback, after the monitoring (rule
late_rollback).
"""

from collections.abc import Collection
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments import access
from environments.language import listed
from environments.models import Account
from releases import dispatch
from releases.gates import quorum
from releases.gates.content import digest as digest_of_content
from releases.models import Rollback
from releases.queries.rollback_candidates import is_late

# The role whose confirmation is `rollback:authorise` itself.
DECIDER = "rollback_decision_maker"
# The fields of an alarm that people confirm: the assessment and the counted rows belong to it.
SHOWN = ("cause", "critical", "note", "impact", "method", "timing")


def digest_of(rollback: Rollback) -> str:
    """Return the SHA-256 over what is confirmed and authorised: cause, assessment and counted rows."""
    counted = {key: value for key, value in rollback.facts.items() if key.startswith("rows")}
    return digest_of_content({name: getattr(rollback, name) for name in SHOWN} | {"counted": counted})


def require_shown(rollback: Rollback, digest: str) -> None:
    """Refuse a confirmation that was made for the alarm before a change; raises GateNotPassed."""
    if digest != digest_of(rollback):
        text = _("The assessment or the row counts shown to you differ from the current ones. Read them again.")
        raise GateNotPassed(text)


def confirmations(rollback: Rollback) -> list[dict[str, Any]]:
    """Return the confirmations of the alarm as it is now."""
    today = digest_of(rollback)
    return [entry for entry in rollback.facts.get("agreed", []) if entry["digest"] == today]


def clear_changed(rollback: Rollback, op: Operation) -> None:
    """Clear, inside an open operation, the confirmations of the alarm as it was before this operation."""
    holds = confirmations(rollback)
    gone = [entry["name"] for entry in rollback.facts.get("agreed", []) if entry not in holds]
    if gone:
        rollback.facts = {**rollback.facts, "agreed": holds}
        text = _("The late rollback has changed. These people must approve it again: %(who)s")
        op.details["agreed_again"] = text % {"who": listed(gone)}


def late_rules(rollback: Rollback) -> list[Any]:
    """Return the procedure's approval rules for a late rollback."""
    deployment = rollback.deployment
    release = deployment.release
    return deployment.content.rules_for("late_rollback", deployment.environment, kind=release.kind, risk=release.risk)


def standing(rollback: Rollback) -> quorum.Standing | None:
    """Return the confirmations of a late rollback, as current rows say; None where only the rollback decider is asked.

    A confirmation counts while its person has the role then and now, and has not authorised as well.
    """
    if not is_late(rollback.deployment):
        return None
    asked = [quorum.Rule(r["stage"], r["role"], r["number"]) for r in late_rules(rollback)]
    rules = [rule for rule in asked if rule.role not in (DECIDER, "none")]
    if not rules:
        return None
    entries = {entry["account"]: entry["roles"] for entry in confirmations(rollback)}
    people = Account.objects.filter(Q(pk__in=entries) | Q(pk=rollback.authorised_by_id)).in_bulk()
    decider = people.get(rollback.authorised_by_id or 0)
    held, deployment = access.held(entries), rollback.deployment
    counting = {
        people[pk].person_key: access.roles_in(held[pk], deployment.environment_id, deployment.application_id)
        & set(roles)
        for pk, roles in entries.items()
        if decider is None or not people[pk].is_among(decider.identities)
    }
    return quorum.standing(rules, [(person, frozenset(roles)) for person, roles in counting.items()])


def missing(rollback: Rollback) -> dict[str, int]:
    """Return role → how many persons must still confirm before a late rollback is authorised; empty for one in time."""
    where = standing(rollback)
    return where.missing if where is not None else {}


def confirmed_by(rollback: Rollback) -> set[str]:
    """Return the persons (Account.identities) who have confirmed."""
    found = Account.objects.filter(pk__in=[entry["account"] for entry in confirmations(rollback)])
    return {identity for account in found for identity in account.identities}


def why_not_approved(rollback: Rollback) -> str:
    """Return why an authorised rollback may not begin, the monitoring having ended since; empty when it may."""
    if not is_late(rollback.deployment):
        return ""
    if rollback.authorised_by is None:
        return _(
            "Monitoring has ended, and the pre-authorised rollback has expired with it. Dismiss this rollback "
            "and raise a new one."
        )
    if not late_rules(rollback):
        return _("The release procedure has no approval rule for this, so no approval is possible.")
    if remaining := missing(rollback):
        return _("Monitoring has ended. Approval is still needed from: %(who)s") % {"who": quorum.words_for(remaining)}
    return ""


def why_not_permitted(account: Account, rollback: Rollback, held: Collection[str] | None = None) -> str:
    """Return why a person may not confirm a late rollback; empty when they may. held: their roles there, if known."""
    deployment = rollback.deployment
    roles = access.roles_of(account, deployment.environment, deployment.application_id) if held is None else held
    where = standing(rollback)
    if where is None or not where.wanted & set(roles) or account.kind != Account.Kind.PERSON:
        return _("This late rollback does not need approval from your role.")
    decider = rollback.authorised_by
    if decider is not None and account.is_among(decider.identities):
        return _("A different person from the one before must do this.")
    return _("You have already approved this late rollback.") if account.is_among(confirmed_by(rollback)) else ""


def confirm_late(rollback_id: int, *, digest: str, reason: str = "") -> Rollback:
    """Confirm a late rollback, as one of the roles that the procedure names; each person once.

    digest: of what the page showed. A rollback that was authorised in time and has become late is confirmed as well.
    """
    with operation("rollback:confirm_late", (Rollback, rollback_id), reason=reason, sign=True) as op:
        rollback = op.get(Rollback)
        account = access.current_account()
        if rollback.state not in ("assessed", "authorised"):
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": rollback.get_state_display()})
        if not is_late(rollback.deployment):
            text = _("Monitoring has not ended, so the rollback decision maker alone authorises this rollback.")
            raise NotPossible(text)
        held = access.roles_of(account, rollback.deployment.environment)
        if why := why_not_permitted(account, rollback, held):
            raise NotPermitted(why)
        if "rows_total" not in rollback.facts:
            raise GateNotPassed(
                _(
                    "Ringi is still counting the rows written since the backup. No decision is possible "
                    "without this count."
                )
            )
        require_shown(rollback, digest)
        roles = sorted(held)
        entry = {"account": account.pk, "name": str(account), "roles": roles, "at": now().isoformat(), "digest": digest}
        rollback.facts = {**rollback.facts, "agreed": [*confirmations(rollback), entry]}
        op.signature(digest, role=", ".join(roles))
        dispatch.wake_on_commit(rollback.deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
    return rollback

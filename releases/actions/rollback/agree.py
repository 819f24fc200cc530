"""rollback:agree: what a late way back asks beside 切戻し判断者, after the watch has ended (approval rule late_way_back)."""

from __future__ import annotations

from collections import Counter

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import NotYou, WrongState
from environments import access
from environments.models import Account
from environments.roles import ROLE_CHOICES
from releases.actions.rollback.possible import is_late
from releases.gates.base import procedure_of
from releases.models import Rollback

# Whose consent is `rollback:authorise` itself.
DECIDER = "rollback_decider"


def missing(rollback: Rollback) -> Counter[str]:
    """Return role → how many persons must still agree before a late way back is authorised; empty for one in time."""
    deployment = rollback.deployment
    if not is_late(deployment):
        return Counter()
    wanted: Counter[str] = Counter()
    for rule in procedure_of(deployment.release).rules_for("late_way_back", deployment.environment.tier):
        if rule["role"] not in (DECIDER, "none"):
            wanted[rule["role"]] += rule["number"]
    return wanted - Counter(entry["role"] for entry in rollback.facts.get("agreed", []))


def agreed_by(rollback: Rollback) -> set[str]:
    """Return the persons (Account.person_key) who have agreed."""
    found = Account.objects.filter(pk__in=[entry["account"] for entry in rollback.facts.get("agreed", [])])
    return {account.person_key for account in found}


def words(roles: Counter[str]) -> str:
    """Return missing roles as people read them."""
    names = dict(ROLE_CHOICES)
    return ", ".join(f"{names.get(role, role)} ({number})" for role, number in sorted(roles.items()))


def agree(rollback_id: int, *, reason: str = "") -> Rollback:
    """Agree to a late way back, as one of the roles that the procedure asks; each person once."""
    with change("rollback:agree", (Rollback, rollback_id), reason=reason, sign=True) as act:
        rollback = act.get(Rollback)
        account = access.current_account()
        if rollback.state != "assessed":
            raise WrongState(
                _("This cannot be done while it is “%(state)s”.") % {"state": rollback.get_state_display()}
            )
        if not is_late(rollback.deployment):
            raise WrongState(_("The watch has not ended; the rollback decider alone authorises this way back."))
        held = access.roles_of(account, rollback.deployment.environment)
        role = next((role for role in sorted(missing(rollback)) if role in held), None)
        if role is None or account.kind != Account.Kind.PERSON:
            raise NotYou(_("This way back does not wait for your role."))
        if account.person_key in agreed_by(rollback):
            raise NotYou(_("You have already agreed."))
        entry = {"account": account.pk, "name": str(account), "role": role, "at": now().isoformat()}
        rollback.facts = {**rollback.facts, "agreed": [*rollback.facts.get("agreed", []), entry]}
        act.signature("late_way_back", role=role)
    return rollback

"""roster:assign: who does what in the production run (J2)."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, Environment
from releases.actions.release.plan import clear_final_check
from releases.models import Release, RosterEntry

BEFORE_FINAL_CHECK = tuple(state for state in Release.PREPARING if state != "confirmed")


def assign(release_id: int, *, duty: str, account_id: int, telephone: str, reason: str = "") -> RosterEntry:
    """Put a person on the roster with a telephone number; worker and verifier are two people.

    The rollback decider is one who may authorise it where the run goes. Raises NotYou, Invalid, WrongState.
    """
    with change("roster:assign", (Release, release_id), reason=reason, sign=True) as act:
        who = access.require("roster")
        release = act.get(Release)
        if release.state in Release.ENDS:
            raise WrongState(_("The release has ended."))
        account = Account.objects.get(pk=account_id)
        if account.kind != Account.Kind.PERSON:
            raise Invalid(_("A service account is no person on a roster."))
        if not account.is_active:
            raise Invalid(_("This account is closed."))
        if duty == RosterEntry.Duty.DECIDER:
            _may_decide(release, account)
        if release.state not in BEFORE_FINAL_CHECK and account.person_key == who.person_key:
            raise NotYou(_("The final check has been signed with the roster as it is; another person puts you on it."))
        if not telephone.strip():
            raise Invalid(_("A telephone number is needed."))
        pair = {"worker": "verifier", "verifier": "worker"}.get(duty)
        other = RosterEntry.objects.filter(release=release, duty=pair).first() if pair else None
        if other is not None and account.is_among(other.account.identities):
            raise Invalid(_("Worker and verifier are two people."))
        entry, _made = RosterEntry.objects.update_or_create(
            release=release, duty=duty, defaults={"account": account, "telephone": telephone}
        )
        if release.state == "approved":
            clear_final_check(release, now())
        act.about(entry)
    return entry


def _may_decide(release: Release, account: Account) -> None:
    """Raise Invalid for a decider who could not authorise a way back wherever the roster is asked for him."""
    places = Environment.objects.filter(targets__application=release.application_id, protected=True)
    if place := next((e for e in places if not access.may(account, "authorise_rollback", e)), None):
        text = _("%(name)s has no right to authorise a rollback in %(environment)s, so cannot decide about it there.")
        raise Invalid(text % {"name": account, "environment": place})

"""team:assign: who does what in the production run (J2)."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, Environment
from releases.actions.release.plan import clear_final_check
from releases.models import Release, TeamMember

BEFORE_FINAL_CHECK = tuple(state for state in Release.PREPARING if state != "final_check_completed")


def assign(release_id: int, *, duty: str, account_id: int, telephone: str, reason: str = "") -> TeamMember:
    """Put a person on the roster with a telephone number; worker and verifier are two people.

    The rollback decider is one who may authorise it where the run goes. Raises NotYou, Invalid, WrongState.
    """
    with change("team:assign", (Release, release_id), reason=reason, sign=True) as act:
        who = access.require("roster")
        release = act.get(Release)
        if release.state in Release.ENDS:
            raise WrongState(_("The release has ended."))
        account = Account.objects.get(pk=account_id)
        if account.kind != Account.Kind.PERSON:
            raise Invalid(_("A service account cannot be a member of a release team."))
        if not account.is_active:
            raise Invalid(_("This account is deactivated."))
        if duty == TeamMember.TeamRole.ROLLBACK_DECISION_MAKER:
            _may_decide(release, account)
        if release.state not in BEFORE_FINAL_CHECK and account.person_key == who.person_key:
            raise NotYou(
                _("The final check was signed with the current release team; another person must add you to the team.")
            )
        if not telephone.strip():
            raise Invalid(_("A telephone number is needed."))
        pair = {"implementer": "verifier", "verifier": "implementer"}.get(duty)
        other = TeamMember.objects.filter(release=release, team_role=pair).first() if pair else None
        if other is not None and account.is_among(other.account.identities):
            raise Invalid(_("The implementer and the verifier must be two different people."))
        entry, _made = TeamMember.objects.update_or_create(
            release=release, team_role=duty, defaults={"account": account, "telephone": telephone}
        )
        if release.state == "approved":
            clear_final_check(release, now())
        act.about(entry)
    return entry


def _may_decide(release: Release, account: Account) -> None:
    """Raise Invalid for a decider who could not authorise a way back wherever the roster is asked for him."""
    places = Environment.objects.filter(targets__application=release.application_id, protected=True)
    if place := next((e for e in places if not access.may(account, "authorise_rollback", e)), None):
        text = _(
            "%(name)s does not have permission to authorise a rollback in %(environment)s and cannot be the "
            "rollback decision maker there."
        )
        raise Invalid(text % {"name": account, "environment": place})

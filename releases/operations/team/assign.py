"""team:assign: the members of a production deployment's team (J2)."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account, Environment
from releases.models import Release, TeamMember
from releases.operations.release.plan import clear_final_check

BEFORE_FINAL_CHECK = tuple(state for state in Release.PREPARING if state != "final_check_completed")


def assign(release_id: int, *, team_role: str, account_id: int, telephone: str, reason: str = "") -> TeamMember:
    """Assign a person to a team role with a telephone number; implementer and verifier are two people.

    The rollback decision maker must be allowed to authorise a rollback where the deployment goes. Raises NotPermitted,
    InvalidInput, NotPossible.
    """
    with operation("team:assign", (Release, release_id), reason=reason, sign=True) as op:
        who = access.require("assign_team")
        release = op.get(Release)
        if release.state in Release.ENDS:
            raise NotPossible(_("The release has ended."))
        account = Account.objects.get(pk=account_id)
        if account.kind != Account.Kind.PERSON:
            raise InvalidInput(_("A service account cannot be a member of a release team."))
        if not account.is_active:
            raise InvalidInput(_("This account is deactivated."))
        if team_role == TeamMember.TeamRole.ROLLBACK_DECISION_MAKER:
            _may_decide(release, account)
        if release.state not in BEFORE_FINAL_CHECK and account.person_key == who.person_key:
            raise NotPermitted(
                _("The final check was signed with the current release team; another person must add you to the team.")
            )
        if not telephone.strip():
            raise InvalidInput(_("A telephone number is needed."))
        pair = {"implementer": "verifier", "verifier": "implementer"}.get(team_role)
        other = TeamMember.objects.filter(release=release, team_role=pair).first() if pair else None
        if other is not None and account.is_among(other.account.identities):
            raise InvalidInput(_("The implementer and the verifier must be two different people."))
        entry, _made = TeamMember.objects.update_or_create(
            release=release, team_role=team_role, defaults={"account": account, "telephone": telephone}
        )
        if release.state == "approved":
            clear_final_check(release, now())
        op.about(entry)
    return entry


def _may_decide(release: Release, account: Account) -> None:
    """Raise InvalidInput for a decision maker who could not authorise a rollback wherever the team is asked."""
    places = Environment.objects.of(release.application_id).filter(protected=True)
    if place := next((e for e in places if not access.may(account, "authorise_rollback", e)), None):
        text = _(
            "%(name)s does not have permission to authorise a rollback in %(environment)s and cannot be the "
            "rollback decision maker there."
        )
        raise InvalidInput(text % {"name": account, "environment": place})

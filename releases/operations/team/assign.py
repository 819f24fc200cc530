"""team:assign: the members of a production deployment's team (J2)."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import NothingToDo, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account, Environment
from releases.models import Release, TeamMember
from releases.operations.release.plan import clear_final_check

BEFORE_FINAL_CHECK = tuple(state for state in Release.PREPARING if state != "final_check_completed")


def assign(release_id: int, *, team_role: str, account_id: int, telephone: str, reason: str = "") -> TeamMember:
    """Assign a person to one team role; see assign_all."""
    return assign_all(release_id, members={team_role: (account_id, telephone)}, reason=reason)[0]


def assign_all(release_id: int, *, members: Mapping[str, tuple[int, str]], reason: str = "") -> list[TeamMember]:
    """Assign persons to team roles, each with a telephone number; implementer and verifier are two people.

    members: team role → (key of the account, telephone number). The rollback decision maker must be allowed to
    authorise a rollback where the deployment goes. Raises NotPermitted, InvalidInput, NotPossible.
    """
    with operation("team:assign", (Release, release_id), reason=reason, sign=True) as op:
        who = access.require("assign_team")
        release = op.get(Release)
        if release.state in Release.ENDS:
            raise NotPossible(_("The release has ended."))
        if not members:
            raise InvalidInput(_("Choose a person for a team role."))
        team = {row.team_role: row for row in release.team_members.select_related("account")}
        present = {role: (row.account_id, row.telephone) for role, row in team.items()}
        changed = {role: given for role, given in members.items() if present.get(role) != given}
        for team_role, (account_id, telephone) in changed.items():
            account = Account.objects.get(pk=account_id)
            _require_member(release, team_role, account, telephone, who)
            team[team_role], _made = TeamMember.objects.update_or_create(
                release=release, team_role=team_role, defaults={"account": account, "telephone": telephone}
            )
        entries = [team[role] for role in members]
        if not changed:
            raise NothingToDo
        pair = [team[role].account for role in ("implementer", "verifier") if role in team]
        if len(pair) == 2 and pair[0].is_among(pair[1].identities):
            raise InvalidInput(_("The implementer and the verifier must be two different people."))
        if release.state == "approved":
            clear_final_check(release, now())
        for team_role in changed:
            op.about(team[team_role])
    return entries


def _require_member(release: Release, team_role: str, account: Account, telephone: str, who: Account) -> None:
    if account.kind != Account.Kind.PERSON:
        raise InvalidInput(_("A service account cannot be a member of a release team."))
    if not account.is_active:
        raise InvalidInput(_("This account is deactivated."))
    if team_role == TeamMember.TeamRole.ROLLBACK_DECISION_MAKER:
        _may_decide(release, account)
    if release.state not in BEFORE_FINAL_CHECK and account.is_among(who.identities):
        raise NotPermitted(
            _("The final check was signed with the current release team; another person must add you to the team.")
        )
    if is_blank(telephone):
        raise InvalidInput(_("A telephone number is needed."))


def _may_decide(release: Release, account: Account) -> None:
    """Raise InvalidInput for a decision maker who could not authorise a rollback wherever the team is asked."""
    places = Environment.objects.of(release.application_id).filter(protected=True)
    if place := next((e for e in places if not access.may(account, "authorise_rollback", e)), None):
        text = _(
            "%(name)s does not have permission to authorise a rollback in %(environment)s and cannot be the "
            "rollback decision maker there."
        )
        raise InvalidInput(text % {"name": account, "environment": place})

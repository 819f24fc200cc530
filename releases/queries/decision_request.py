"""Who of the team has been asked how a waiting deployment goes on, and until when a rollback still fits into its
window.
"""

from datetime import datetime, timedelta

from releases.gates.durations import Needed, durations
from releases.models import DecisionRequest, Deployment, TeamMember


def asked_of(decision_request: DecisionRequest) -> list[TeamMember]:
    """Return the entries of the team that have been asked so far, in the order in which it goes on."""
    team = TeamMember.objects.filter(release=decision_request.deployment.release_id).select_related("account")
    by_team_role = {entry.team_role: entry for entry in team}
    return [
        by_team_role[team_role]
        for team_role in DecisionRequest.ORDER[: decision_request.roles_asked]
        if team_role in by_team_role
    ]


def agreed_on_timeout(deployment: Deployment) -> str:
    """Return what happens where no one of the team answers, as it was approved: `roll_back` or `keep`."""
    request = deployment.approval_request
    return str((request.document.get("on_timeout") if request is not None else None) or deployment.release.on_timeout)


def last_rollback_start(deployment: Deployment) -> datetime | None:
    """Return the last moment from which the rollback still fits into the window; None without a window."""
    if deployment.scheduled_end_at is None:
        return None
    return deployment.scheduled_end_at - timedelta(seconds=rollback_needed(deployment).seconds)


def rollback_needed(deployment: Deployment) -> Needed:
    """Return how long the whole rollback of a deployment takes, and by what that was reckoned."""
    release = deployment.release
    return durations(release, deployment.environment_id).needed(
        release.step_plan, ("rollback", "rollback_verification")
    )

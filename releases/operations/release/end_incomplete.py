"""release:end_incomplete: a release that has come into some of its environments of production goes into no other."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import Account
from releases.models import Deployment, Release
from releases.operations.release.end_approval import cancel_waiting


def end_incomplete(release_id: int, *, reason: str) -> Release:
    """End a release without its remaining environments: it has failed, and stays where it was deployed."""
    with operation("release:end_incomplete", (Release, release_id), reason=reason) as op:
        account, release = access.require("prepare"), op.get(Release)
        op.require_reason()
        if why := why_not_permitted(account, release):
            raise NotPossible(why)
        busy = release.deployments.filter(environment__in=release.destinations, state__in=Deployment.OCCUPYING)
        if busy.exclude(state="queued").exists():
            raise NotPossible(_("A deployment is in progress in production. Stop or resolve the deployment first."))
        if release.state != "releasing":
            raise NotPossible(_("Only a release that is under way in production can be ended like this."))
        cancel_waiting(release, tells=op)
        release.fail()
    return release


def why_not_permitted(account: Account, release: Release) -> str:
    """Return why a release cannot end like this, for any person; empty when it can."""
    if len(release.destinations) > 1:
        return ""
    return _("This release is planned for one environment of production. Roll back or resolve its deployment instead.")

"""release:use_process: a draft follows another version of the deployment process, such as one that is to be tried."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from releases.models import DeploymentProcess, Release
from releases.operations.release.follow import follow


def use_process(release_id: int, *, process_id: int, reason: str = "") -> Release:
    """Choose the version whose steps and checks a draft follows. A protected environment takes an approved one only."""
    with operation("release:use_process", (Release, release_id), reason=reason) as op:
        release = op.get(Release)
        account = access.require("plan", instead="prepare")
        if release.state != "draft":
            raise NotPossible(_("Only a draft can be edited. Reopen the scope first."))
        rows = DeploymentProcess.objects.filter(application=release.application_id)
        process = rows.filter(pk=process_id, state__in=["draft", "in_review", "in_effect"]).first()
        if process is None:
            raise InvalidInput(_("This application has no such version of its deployment process."))
        follow(op, release, process)
        release.editors.add(account)
        op.about(release, number=process.number)
    return release

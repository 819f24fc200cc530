"""application:edit: the name of an application, where its repository lies and how its tags are called."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from environments.models import Application
from releases.models import Release
from releases.sources import git, versions

# Their commits and tags were judged in the repository as it is, or will be read from it.
HELD = (*Release.FIXED, "releasing")


def edit(application_id: int, *, name: str, repository: str, tag_format: str, reason: str) -> Application:
    """Say anew where an application comes from; refused while a release of it has its content fixed and is not out.

    A draft's tag is called as the format said when it was planned. Drafts read from the new repository from then on.
    """
    releases = Release.objects.filter(application=application_id, state__in=Release.PREPARING)
    # Whoever fixes the content of one of them waits until this is done.
    rows = [(Release, pk) for pk in releases.values_list("pk", flat=True)]
    wrong = git.wrong_address(repository) or versions.wrong_pattern(tag_format)
    with operation("application:edit", (Application, application_id), *rows, reason=reason, sign=True) as op:
        access.require("plan")
        application = op.get(Application)
        op.require_reason()
        if wrong:
            raise InvalidInput(wrong)
        moved = (application.repository, application.tag_format) != (repository, tag_format)
        fixed = Release.objects.filter(application=application, state__in=HELD)
        if moved and (release := fixed.first()):
            text = _("The scope of %(release)s is locked, so the repository and the tag format cannot be changed.")
            raise GateNotPassed(text % {"release": release})
        application.name, application.repository, application.tag_format = name, repository, tag_format
    return application

"""application:edit: the name of an application, the address of its repository and the format of its tags."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import plain
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from environments.models import Application
from releases.models import Release
from releases.sources import git, versions

# The commits and tags of these releases were checked in the current repository, or are yet to be read from it.
HELD = (*Release.FIXED, "releasing")


def edit(application_id: int, *, name: str, repository: str, tag_format: str, reason: str) -> Application:
    """Change where an application comes from; refused while a release of it has its scope locked and is not out.

    The tag of a draft keeps the format in which it was planned. Later reads of drafts use the new repository.
    """
    releases = Release.objects.filter(application=application_id, state__in=Release.PREPARING)
    # Locking the scope of one of these releases waits until this operation is done.
    rows = [(Release, pk) for pk in releases.values_list("pk", flat=True)]
    wrong = git.wrong_address(repository) or versions.wrong_pattern(tag_format)
    with operation("application:edit", (Application, application_id), *rows, reason=reason, sign=True) as op:
        access.require("plan")
        application = op.get(Application)
        if repository != application.repository:
            # The server reads the repository that is named, as when an application is created.
            access.require("plan", application=None)
        op.require_reason()
        if wrong:
            raise InvalidInput(wrong)
        moved = (application.repository, application.tag_format) != (repository, tag_format)
        fixed = Release.objects.filter(application=application, state__in=HELD)
        if moved and (release := fixed.first()):
            text = _("The scope of %(release)s is locked, so the repository and the tag format cannot be changed.")
            raise GateNotPassed(text % {"release": release})
        application.name, application.repository, application.tag_format = (
            plain(name, _("name")),
            repository,
            tag_format,
        )
    return application

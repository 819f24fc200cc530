"""application:create: an application, which is what is released, and the repository that it comes from."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import plain
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.sources import artefacts, git, versions


def create_application(
    *,
    slug: str,
    name: str,
    repository: str,
    group: str = "",
    signers: str = "",
    tag_format: str = "v{version}",
    reason: str = "",
) -> Application:
    """Create an application with its repository and the signers who are allowed to sign its tags.

    group: the key of the applications that grants name together; it stays.
    """
    wrong = git.wrong_address(repository) or versions.wrong_pattern(tag_format) or artefacts.wrong_key(signers)
    with operation("application:create", reason=reason, sign=True) as op:
        access.require("plan")
        if Application.objects.filter(slug=slug).exists():
            raise InvalidInput(_("There is already an application “%(name)s”.") % {"name": slug})
        if wrong:
            raise InvalidInput(wrong)
        application = Application.objects.create(
            slug=slug,
            name=plain(name, _("name")),
            repository=repository,
            group=group,
            allowed_signers=signers,
            tag_format=tag_format,
        )
        op.about(application)
    return application

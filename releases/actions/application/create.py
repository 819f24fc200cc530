"""application:create: what is released, and the repository that it comes from."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.models import Application
from releases.sources import git, versions


def create_application(
    *, slug: str, name: str, repository: str, signers: str = "", tag_format: str = "v{version}", reason: str = ""
) -> Application:
    """Make an application: its repository and whose signatures on its tags are known."""
    wrong = git.wrong_address(repository) or versions.wrong_pattern(tag_format)
    with change("application:create", reason=reason, sign=True) as act:
        access.require("plan")
        if Application.objects.filter(slug=slug).exists():
            raise Invalid(_("There is already an application “%(name)s”.") % {"name": slug})
        if wrong:
            raise Invalid(wrong)
        application = Application.objects.create(
            slug=slug, name=name, repository=repository, allowed_signers=signers, tag_format=tag_format
        )
        act.about(application)
    return application

"""application:set_publication: the branch and folder that take the documents of an application's releases (P6)."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.operations.document.publish import wrong_branch


def set_publication(application_id: int, *, branch: str, folder: str, reason: str) -> Application:
    """Set the branch and folder to which published documents are committed; without a branch none are. Raises
    InvalidInput.
    """
    with operation("application:set_publication", (Application, application_id), reason=reason, sign=True) as op:
        access.require("plan")
        application = op.get(Application)
        op.require_reason()
        branch, parts = branch.strip(), [part for part in folder.strip().split("/") if part]
        if branch and (why := wrong_branch(branch, application)):
            raise InvalidInput(why)
        if any(part.startswith(".") or not part.isprintable() for part in parts):
            raise InvalidInput(_("A folder is a path inside the repository, such as docs/releases."))
        application.documents_branch, application.documents_folder = branch, "/".join(parts)
    return application

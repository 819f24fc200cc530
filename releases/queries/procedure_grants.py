"""The access grants that begin to count with a version of the procedure: those of roles that it adds."""

from environments.models import AccessGrant
from releases.models import Procedure
from releases.procedures.document import Procedure as Content


def begin_to_count(content: Content) -> list[list[str]]:
    """Return role, sign-in name and environment ("": all) of each, in order; also those from before a role was
    retired.
    """
    present = Procedure.objects.filter(state="in_effect", key="").first()
    known = {row.key for row in present.document.roles} if present is not None else set()
    rows = AccessGrant.objects.lasting().filter(role__key__in={row.key for row in content.roles} - known)
    columns = rows.values_list("role__key", "account__username", "environment__slug")
    return sorted([role, account, environment or ""] for role, account, environment in columns)

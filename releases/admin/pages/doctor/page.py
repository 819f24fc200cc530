"""The state of the installation, as the web process sees it: for administrators and auditors."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _, gettext_lazy

from environments.admin.rights import page, rights_of
from releases.admin.components.formatting import show
from releases.doctor.examination import GROUPS, examine

HEADINGS = {
    "variables": gettext_lazy("Variables of the process"),
    "database": gettext_lazy("Database"),
    "machine": gettext_lazy("Server"),
    "services": gettext_lazy("Services"),
}


@page
def doctor(request: HttpRequest) -> HttpResponse:
    """Show each finding with what to do."""
    rights = rights_of(request)
    if not (rights.may("manage_accounts") or rights.may("audit")):
        raise PermissionDenied
    groups = [(HEADINGS[name], examine(checks)) for name, checks in GROUPS.items()]
    return show(request, "pages/doctor/doctor.html", _("State of the installation"), groups=groups)

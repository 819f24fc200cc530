"""The page that compares two configurations: versions of one environment, or two environments."""

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import page, rights_of
from environments.difference import difference
from environments.models import ConfigurationVersion, Environment
from releases.admin.components.formatting import show

MOST = 200


def _chosen(request: HttpRequest, name: str, shown: Q) -> ConfigurationVersion | None:
    """Return the requested version; refused when it is hidden from the reader."""
    asked = request.GET.get(name, "")
    rows = ConfigurationVersion.objects.select_related("application", "environment", "created_by")
    known = asked.isdecimal() and len(asked) < 19
    row = rows.filter(shown, pk=int(asked)).first() if known else None
    if row is None and known and ConfigurationVersion.objects.filter(pk=int(asked)).exists():
        raise PermissionDenied
    return row


@page
def configuration_difference(request: HttpRequest) -> HttpResponse:
    """Compare ?left= with ?right=; without `left`, the version before the right one is taken."""
    shown = rights_of(request).seen(Environment.objects.all(), ("environment", "application"))
    left, right = _chosen(request, "left", shown), _chosen(request, "right", shown)
    if right is not None and left is None:
        earlier = ConfigurationVersion.objects.select_related("application", "environment", "created_by").filter(
            application=right.application_id, environment=right.environment_id, number__lt=right.number
        )
        left = earlier.first()
    versions = ConfigurationVersion.objects.filter(shown).select_related("application", "environment")
    rows = difference(left, right) if right is not None or left is not None else []
    marks = {
        "same": _("same"),
        "changed": _("different"),
        "added": _("only on the right"),
        "removed": _("only on the left"),
    }
    tones = {"same": "", "changed": "warn", "added": "going", "removed": "bad"}
    return show(
        request,
        "pages/configuration/difference.html",
        _("Difference between configurations"),
        left=left,
        right=right,
        versions=versions.order_by("application__slug", "environment__order", "-number")[:MOST],
        rows=[(row, marks[row.mark], tones[row.mark]) for row in rows],
        differing=sum(row.mark != "same" for row in rows),
    )

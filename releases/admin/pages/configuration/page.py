"""The page that compares two configurations: versions of one environment, or two environments."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import page, rights_of
from environments.difference import difference
from environments.models import ConfigurationVersion, Environment
from releases.admin.components.formatting import show

MOST = 200


def _chosen(request: HttpRequest, name: str, seen: list[Environment]) -> ConfigurationVersion | None:
    """Return the requested version; refused when its environment is hidden from the reader."""
    asked = request.GET.get(name, "")
    rows = ConfigurationVersion.objects.select_related("application", "environment", "created_by")
    row = rows.filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 19 else None
    if row is not None and row.environment not in seen:
        raise PermissionDenied
    return row


@page
def configuration_difference(request: HttpRequest) -> HttpResponse:
    """Compare ?left= with ?right=; without `left`, the version before the right one is taken."""
    rights = rights_of(request)
    seen = [environment for environment in Environment.objects.all() if rights.sees(environment)]
    left, right = _chosen(request, "left", seen), _chosen(request, "right", seen)
    if right is not None and left is None:
        earlier = ConfigurationVersion.objects.select_related("application", "environment", "created_by").filter(
            application=right.application_id, environment=right.environment_id, number__lt=right.number
        )
        left = earlier.first()
    versions = ConfigurationVersion.objects.filter(environment__in=seen).select_related("application", "environment")
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

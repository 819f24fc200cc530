"""The page of a dry run: each command of a release's step plan in one environment; nothing is executed."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from environments.admin.rights import found_or_404, page, rights_of
from environments.models import ConfigurationVersion, Environment
from releases.admin.components.formatting import show
from releases.models import DeployedVersion, Release, Step
from releases.worker.dry_run import dry_run


@page
def dry_run_page(request: HttpRequest, pk: int, environment: str) -> HttpResponse:
    """Show what a deployment would do; only for accounts that may see configuration and target of the environment."""
    row = found_or_404(request, Release.objects.select_related("application", "procedure"), pk=pk)
    where = get_object_or_404(Environment, slug=environment)
    rights = rights_of(request).about(row)
    if not rights.sees(where):
        raise PermissionDenied
    described = dry_run(row, where)
    base = DeployedVersion.established(row.application, where)
    places = Environment.objects.of(row.application)
    others = places.exclude(pk=where.pk).order_by("order")
    return show(
        request,
        "pages/dry_run/dry_run.html",
        _("Dry run: %(release)s → %(environment)s") % {"release": row, "environment": where},
        release=row,
        place=where,  # `environment` is a label of the whole site in unfold.
        others=[other for other in others if rights.sees(other)],
        base=base,
        configuration=ConfigurationVersion.objects.filter(pk=row.configurations.get(where.slug)).first(),
        phases=[(phase, [step for step in described if step.phase == phase]) for phase in Step.Phase.values],
        empty=not described,
    )

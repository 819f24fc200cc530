"""The page of a published document: its address, the release's number and the document's type, stays (P6)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from environments.admin.rights import found_or_404, page
from environments.language import labelled
from releases.admin.components.formatting import show
from releases.models import Document, Release
from releases.queries.release_facts import zone_of


@page
def published(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    """Show a release's published document to everybody who may see the release; before publication, say so."""
    release = found_or_404(request, Release.objects.select_related("application"), number=number)
    document = get_object_or_404(Document, release=release, kind=kind)
    context = {"release": release, "document": document, "out": document.state in ("published", "retracted")}
    return show(
        request, "pages/published/published.html", labelled(document, release), zone=zone_of(release), **context
    )

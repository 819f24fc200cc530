"""The glossary as a page: each term in both languages with its meaning."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import page
from environments.language import language
from releases.admin.components.formatting import show
from releases.glossary import terms


@page
def glossary(request: HttpRequest) -> HttpResponse:
    """Show every term in the reader's language, with the other language's term beside it."""
    here = language()
    other = "en" if here == "ja" else "ja"
    known = terms()
    rows = [
        (t.key, t.name(here), t.name(other), t.text(here), [(key, known[key].name(here)) for key in t.see])
        for t in known.values()
    ]
    return show(request, "pages/glossary/glossary.html", _("Glossary"), terms=rows, other=other)

"""Find: one field for rows of all lists, pages, operations and terms, in every way of writing them."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.admin.read_only import ReadOnlyAdmin
from environments.admin.rights import page, rights_of
from environments.language import language
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.components.navigation import navigation
from releases.admin.operations import VERBS
from releases.admin.operations.availability import offered
from releases.glossary import terms

# Rows of a list that are shown; the link beside them leads to all.
SHOWN = 6
LONGEST = 200


@dataclass(frozen=True)
class Group:
    """What was found of one type: its name, (words, address) of each, and the address of all; empty: these are all."""

    name: str
    found: list[tuple[str, str]]
    all: str = ""


@page
def find(request: HttpRequest) -> HttpResponse:
    """Show what is named like ?q=, as far as the reader sees it."""
    asked = " ".join(request.GET.get("q", "").split())[:LONGEST]
    # Quotation marks alone would be the search for nothing, which finds all.
    groups = [group for group in _groups(request, asked) if group.found] if re.search(r"\w", asked) else []
    return show(request, "pages/find/find.html", _("Find"), asked=asked, groups=groups)


def _groups(request: HttpRequest, asked: str) -> Iterator[Group]:
    wanted = _plain(asked)
    for own in admin.site._registry.values():
        if isinstance(own, ReadOnlyAdmin) and own.search_fields and own.has_view_permission(request):
            yield _rows(request, own, asked)
    pages = [(str(item["title"]), item["link"]) for group in navigation(request) for item in group["items"]]
    yield Group(_("Pages"), [one for one in pages if wanted in _plain(one[0])])
    rights = rights_of(request)
    verbs = [verb for verb in VERBS if verb.model is None and wanted in _plain(str(verb.label))]
    yield Group(_("Operations"), [(str(verb.label), verb.url()) for verb in verbs if offered(verb, rights, None)])
    names = [(term.name(language()), f"{reverse('glossary')}#{term.key}") for term in terms().values()]
    yield Group(_("Glossary"), [one for one in names if wanted in _plain(one[0])][:SHOWN])


def _rows(request: HttpRequest, own: ReadOnlyAdmin, asked: str) -> Group:
    """Return the first rows that a list finds."""
    rows, several = own.get_search_results(request, own.get_queryset(request), asked)
    if own.list_select_related:
        rows = rows.select_related(*own.list_select_related)  # type: ignore[misc]
    found = list((rows.distinct() if several else rows)[: SHOWN + 1])
    name = f"admin:{own.opts.app_label}_{own.opts.model_name}_changelist"
    more = f"{reverse(name)}?{urlencode({'q': asked})}" if len(found) > SHOWN else ""
    return Group(str(own.opts.verbose_name_plural), [(str(row), page_of(row)) for row in found[:SHOWN]], more)


def _plain(text: str) -> str:
    """Return a text as searches compare it: NFKC, without case."""
    return unicodedata.normalize("NFKC", text).casefold()

"""Find: one field for rows of all lists, pages, operations and terms, in every way of writing them.

An operation on a row is found by words of both (withdraw 1.3.0), or by what names this row alone.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.admin.read_only import ReadOnlyAdmin
from environments.admin.rights import page, rights_of
from environments.language import labelled, language
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.components.navigation import navigation
from releases.admin.operations import VERBS, verbs_on
from releases.admin.operations.availability import offered
from releases.admin.operations.base import Verb
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
    lists = {
        model: own
        for model, own in admin.site._registry.items()
        if isinstance(own, ReadOnlyAdmin) and own.search_fields and own.has_view_permission(request)
    }
    alone = []
    for model, own in lists.items():
        rows, more = _rows(request, own, asked)
        name = str(own.opts.verbose_name_plural)
        yield Group(name, [(str(row), page_of(row)) for row in rows], more)
        if len(rows) == 1:
            alone += [(verb, rows[0]) for verb in verbs_on(model)]
    pages = [(str(item["title"]), item["link"]) for group in navigation(request) for item in group["items"]]
    yield Group(_("Pages"), [one for one in pages if wanted in _plain(one[0])])
    rights = rights_of(request)
    verbs = [verb for verb in VERBS if verb.model is None and wanted in _plain(str(verb.label))]
    found = [(str(verb.label), verb.url()) for verb in verbs if offered(verb, rights, None)]
    for verb, row in alone or _named_with(request, lists, wanted):
        if offered(verb, rights, row) and not verb.not_now(row):
            found.append((labelled(verb.label, row), verb.url(row.pk)))
    yield Group(_("Operations"), found)
    names = [(term.name(language()), f"{reverse('glossary')}#{term.key}") for term in terms().values()]
    yield Group(_("Glossary"), [one for one in names if wanted in _plain(one[0])][:SHOWN])


def _named_with(
    request: HttpRequest, lists: Mapping[type[Model], ReadOnlyAdmin], wanted: str
) -> Iterator[tuple[Verb, Any]]:
    """Yield (operation, row) where some words are of the operation's name and the others name the row."""
    searched: dict[tuple[type[Model], str], list[Any]] = {}
    for verb in VERBS:
        label, words = _plain(str(verb.label)), wanted.split()
        rest = " ".join(word for word in words if len(word) == 1 or word not in label)
        if verb.model is None or verb.model not in lists or not rest or rest == wanted:
            continue
        if (verb.model, rest) not in searched:
            searched[verb.model, rest] = _rows(request, lists[verb.model], rest)[0]
        yield from ((verb, row) for row in searched[verb.model, rest])


def _rows(request: HttpRequest, own: ReadOnlyAdmin, asked: str) -> tuple[list[Any], str]:
    """Return the first rows that a list finds, and the address of all where there are more."""
    rows, several = own.get_search_results(request, own.get_queryset(request), asked)
    if own.list_select_related:
        rows = rows.select_related(*own.list_select_related)  # type: ignore[misc]
    found = list((rows.distinct() if several else rows)[: SHOWN + 1])
    name = f"admin:{own.opts.app_label}_{own.opts.model_name}_changelist"
    return found[:SHOWN], f"{reverse(name)}?{urlencode({'q': asked})}" if len(found) > SHOWN else ""


def _plain(text: str) -> str:
    """Return a text as searches compare it: NFKC, without case."""
    return unicodedata.normalize("NFKC", text).casefold()

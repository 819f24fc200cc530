"""The saved views of a list that a reader may open. The list's template and the form that saves one call it."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.admin.read_only import ReadOnlyAdmin
from environments.admin.rights import rights_of
from environments.language import labelled, listed as in_words
from environments.models import SavedView
from releases.admin.operations.availability import offered


@dataclass(frozen=True)
class Opened:
    """A view as its list offers it. now: the list shows it; delete: where the reader may delete it, else empty."""

    name: str
    query: str
    now: bool
    mine: bool
    whose: str
    delete: str


def kept_of(view: str) -> str | None:
    """Return `app_model?query` with what the list knows of the query; None where there is no such list."""
    listed, _mark, query = view.partition("?")
    app, _mark, model = listed.partition("_")
    known = apps.all_models.get(app, {}).get(model)
    own = admin.site._registry.get(known) if known is not None else None
    return f"{listed}?{own.known(query)}" if isinstance(own, ReadOnlyAdmin) else None


def shown_views(request: HttpRequest, own: ReadOnlyAdmin) -> dict[str, Any]:
    """Return the views of a list: the reader's first, then those that others share; where each is deleted, and what the
    list shows now as the reader may save it.
    """
    from releases.admin.operations.saved_views import DELETE, SAVE

    rights, now = rights_of(request), own.known(request.GET.urlencode())
    administers = rights.may("manage_accounts")
    listed = f"{own.opts.app_label}_{own.opts.model_name}"
    rows = SavedView.objects.filter(Q(account=rights.account) | Q(shared=True), listed=listed)
    views = []
    for row in rows.select_related("account").order_by("name", "pk"):
        mine, kept = row.account == rights.account, own.known(row.query)
        whose = (_("shared") if row.shared else _("only for me")) if mine else str(row.account)
        delete = DELETE.url(row.pk) if mine or administers else ""
        views.append(Opened(row.name, kept, kept == now, mine, whose, delete))
    views.sort(key=lambda one: not one.mine)
    open_now = in_words(one.name for one in views if one.now)
    return {
        "title": labelled(_("Saved views"), open_now) if open_now else _("Saved views"),
        "views": views,
        "view": f"{listed}?{now}",
        "save": SAVE if offered(SAVE, rights, None) else None,
    }

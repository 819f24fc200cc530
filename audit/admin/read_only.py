"""The admin of every audited model: a list and a page of fields, and nothing that changes a row."""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Field, Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotAllowed, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from audit.admin.sheet import CHUNK, lines, streamed

MANY = 10_000


class RoughPaginator(Paginator):  # type: ignore[type-arg]
    """Counts many rows by the planner's estimate; an exact count would read all of them."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, estimated where the planner expects more than MANY."""
        rows: Any = self.object_list
        if not rows.query.where:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [rows.model._meta.db_table]
                )
                estimate = int(cursor.fetchone()[0])
        else:
            plan = rows.order_by().explain(format="json")
            # Django does not send a query that no row can fit, so there is no plan.
            estimate = int(json.loads(plan)[0]["Plan"]["Plan Rows"]) if plan else 0
        return estimate if estimate > MANY else int(rows.count())


# What the readers of every list are limited by; apps add to it at start.
_limits: list[Callable[[HttpRequest, QuerySet[Any]], QuerySet[Any]]] = []


def add_limit(limit: Callable[[HttpRequest, QuerySet[Any]], QuerySet[Any]]) -> None:
    """Register a function that leaves out of every list the rows that a reader does not see."""
    if limit not in _limits:
        _limits.append(limit)


class _AnyColumns:
    """Leaves the choice of columns out of what a list is filtered by."""

    def get_filters_params(self, params: Any = None) -> Any:
        """Return the filters."""
        return {name: value for name, value in super().get_filters_params(params).items() if name != "columns"}  # type: ignore[misc]


class ReadOnlyAdmin(ModelAdmin):
    """List and detail page. `lookups` is all that a query string may filter by beside `list_filter`; `shown_fields` the
    detail page's; `more_columns` those that a reader may add to the list.
    """

    lookups: ClassVar[frozenset[str]] = frozenset()
    more_columns: ClassVar[tuple[str, ...]] = ()
    shown_fields: ClassVar[tuple[str, ...]] = ()
    hint: ClassVar[Any] = ""
    actions = None
    list_per_page = 50
    show_full_result_count = False
    paginator = RoughPaginator
    change_list_template = "lists/list.html"

    @property
    def media(self) -> Media:
        """Load none of the scripts with which rows are edited."""
        return Media()

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave out the rows that the reader does not see, but none because it is out of use."""
        rows = self.model._base_manager.all()
        if ordering := self.get_ordering(request):
            rows = rows.order_by(*ordering)
        for limit in _limits:
            rows = limit(request, rows)
        return rows

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: operations make rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: operations change rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are never deleted."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask once per request: the answer is the same for every model."""
        known = getattr(request, "ringi_may_look", None)
        if known is None:
            known = bool(super().has_view_permission(request, obj))
            request.ringi_may_look = known  # type: ignore[attr-defined]
        return bool(known)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the model to everybody with permission to view it."""
        return self.has_view_permission(request)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow the list's own filters and `lookups`; a free query string would let columns be guessed that are not
        shown.
        """
        own = (entry if isinstance(entry, str) else entry[0] for entry in self.list_filter)
        offered = {
            name + way
            for name in own
            for way in ("", "__exact", "__id__exact", "__key__exact", "__isnull", "__isempty")
        }
        return lookup in self.lookups | offered

    def get_urls(self) -> list[URLPattern]:
        """Offer the list and the detail page only."""
        key = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name=f"{key}_changelist"),
            path("<path:object_id>/change/", wrap(self.change_view), name=f"{key}_change"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list, or with `csv=1` all rows that its filters and its search leave, as a table."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if request.GET.get("csv") and self.has_view_permission(request):
            return self.as_table(request)
        shown = {"hint": self.hint, "columns": self.columns(request)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """Return the columns that the query names in `columns`, with commas between; the first one is always there."""
        chosen = request.GET.get("columns", "").split(",")
        names = self._all_columns()
        return tuple(name for name in names if name in chosen or name == names[0]) if chosen[0] else self._usual()

    def _usual(self) -> tuple[Any, ...]:
        return tuple(self.list_display)

    def _all_columns(self) -> tuple[Any, ...]:
        return (*self._usual(), *self.more_columns)

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        """Return the list, for which the choice of columns is no filter."""
        return type("Listed", (_AnyColumns, super().get_changelist(request, **options)), {})

    def columns(self, request: HttpRequest) -> list[tuple[str, bool, str]]:
        """Return each column that may be left out: its label, whether it is shown, and `columns` without or with it."""
        now, names = self.get_list_display(request), self._all_columns()
        found = []
        for name in names[1:]:
            others = [one for one in names if one in now and one != name]
            wanted = others if name in now else [one for one in names if one in now or one == name]
            found.append((str(label_for_field(name, self.model, self)), name in now, ",".join(wanted)))
        return found

    def known(self, query: str) -> str:
        """Return what the list knows of a query string: its filters, search, columns and order."""
        names, found = self._all_columns(), {}
        for name, value in QueryDict(query).dict().items():
            if name == "columns":
                value = ",".join(one for one in value.split(",") if one in names)
            elif name == "o":
                value = value if re.fullmatch(r"-?\d+(\.-?\d+)*", value) else ""
            elif not (self.search_fields if name == "q" else self.lookup_allowed(name, value)):
                continue
            if value:
                found[name] = value
        return urlencode(sorted(found.items()))

    def as_table(self, request: HttpRequest) -> HttpResponseBase:
        """Return the rows of the list with its columns, in its order, however many they are."""
        query = request.GET.copy()
        query.pop("csv")
        request.GET = query  # type: ignore[assignment]
        try:
            shown = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest()
        names = [name for name in self.get_list_display(request) if isinstance(name, str)]
        head = [label_for_field(name, self.model, self) for name in names]
        rows = shown.get_queryset(request).iterator(chunk_size=CHUNK)
        table = ([self.plain(row, name) for name in names] for row in rows)
        return streamed(str(self.opts.model_name), lines(head, table))

    def plain(self, row: Model, name: str) -> Any:
        """Return what a column of a list shows of a row: text or a number, in words where it is a choice."""
        if name == "__str__":
            return str(row)
        field, _attribute, value = lookup_field(name, row, self)
        if field is not None and getattr(field, "flatchoices", None):
            return getattr(row, f"get_{field.name}_display")()
        return _value(value)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search also for the plain form (NFKC) of what was typed: full-width digits and letters, half-width kana."""
        found, many = super().get_search_results(request, queryset, search_term)
        plain = unicodedata.normalize("NFKC", search_term)
        if plain == search_term:
            return found, many
        also, more = super().get_search_results(request, queryset, plain)
        return found | also, many or more

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the fields of one row; nothing is posted to it."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return self.detail(request, row)

    def detail(self, request: HttpRequest, row: Model) -> HttpResponse:
        """Return the page of one row."""
        context = {
            **self.admin_site.each_context(request),
            "title": str(row),
            "kind": self.opts.verbose_name,
            "kinds": self.opts.verbose_name_plural,
            "list_url": f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist",
            "row": row,
            "fields": self.fields_of(request, row),
            **self.extra(request, row),
        }
        return render(request, self.detail_template, context)

    detail_template: ClassVar[str] = "lists/detail.html"

    def extra(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Return what else the page of one row needs."""
        return {}

    def fields_of(self, request: HttpRequest, row: Model) -> list[tuple[str, Any]]:
        """Return (label, value) of each field that the detail page shows."""
        names: Sequence[str] = self.shown_fields or [f.name for f in self.opts.fields if f.name != "id"]
        return [self._field(row, name) for name in names]

    def _field(self, row: Model, name: str) -> tuple[str, Any]:
        own = getattr(self, name, None)
        if callable(own):
            return str(getattr(own, "short_description", name)), own(row)
        field = self.opts.get_field(name)
        assert isinstance(field, Field)
        if field.choices:
            return str(field.verbose_name), getattr(row, f"get_{name}_display")()
        return str(field.verbose_name), _value(getattr(row, name))


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return value


def column(label: Any, order: str = "") -> Any:
    """Return the decorator of a column of a list."""
    return admin.display(description=label, ordering=order or None)


def cell(show: Callable[..., Any], fields: str, label: Any, order: str = "") -> Any:
    """Return a column that shows fields of a row (dotted, with spaces between) as `show` writes them."""
    values = attrgetter(*fields.split(), "pk")
    return column(label, order)(lambda _self, row: show(*values(row)[:-1]))

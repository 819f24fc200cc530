"""The ledger in the admin: events have their timeline and cannot be changed."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.admin.read_only import ReadOnlyAdmin
from audit.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """One event with its proof; the list is the timeline, which needs no count."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Send to the timeline."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return HttpResponseRedirect(reverse("timeline"))

    def fields_of(self, request: HttpRequest, row: Model) -> list[tuple[str, Any]]:
        """Return the columns, the place in the chain, and the bytes that are proven."""
        assert isinstance(row, Event)
        link = getattr(row, "ledger_entry", None)
        shown = [
            self._field(row, n) for n in ("kind", "at", "actor", "channel", "operation", "object", "outcome", "reason")
        ]
        if link is not None:
            shown += [
                (_("number"), link.number),
                (_("leaf"), bytes(link.leaf).hex()),
                (_("chain"), bytes(link.chain).hex()),
            ]
        return [*shown, (_("contents"), json.dumps(row.contents, ensure_ascii=False, indent=2))]

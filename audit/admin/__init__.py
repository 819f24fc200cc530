"""The ledger in the admin: events have their timeline, the outbox its list; neither can be changed."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, column
from audit.models import Checkpoint, CheckpointAddress, Continuation, Event, Outbox


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
        link = getattr(row, "link", None)
        shown = [
            self._field(row, n) for n in ("kind", "at", "actor", "channel", "action", "object", "outcome", "reason")
        ]
        if link is not None:
            shown += [
                (str(_("number")), link.number),
                (str(_("leaf")), bytes(link.leaf).hex()),
                (str(_("chain")), bytes(link.chain).hex()),
            ]
        return [*shown, (str(_("contents")), json.dumps(row.contents, ensure_ascii=False, indent=2))]


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin):
    """Messages to be made of acts."""

    list_display = ("id", "event", "object", "created", "sent")
    list_filter = (("sent_at", admin.EmptyFieldListFilter),)
    lookups = frozenset({"sent_at__isempty"})
    ordering = ("-id",)
    hint = _("What has happened waits here to be told to the people of the procedure's message rules.")

    @column(_("created at"), "id")
    def created(self, row: Outbox) -> Any:
        """Return when it was written."""
        return row.created_at

    @column(_("sent at"))
    def sent(self, row: Outbox) -> Any:
        """Return when it was sent."""
        return row.sent_at


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Signed statements over the ledger."""

    list_display = ("number", "at")
    ordering = ("-number",)
    shown_fields = ("number", "at", "note")


@admin.register(Continuation)
class ContinuationAdmin(ReadOnlyAdmin):
    """What two persons decided after a restore."""

    list_display = ("__str__", "size", "proposed_by", "proposed_at", "confirmed_by", "confirmed_at")
    ordering = ("-id",)
    shown_fields = ("why", "size", "note", "digest", "reason", "proposed_by", "proposed_at", "confirmed_by",
                    "confirmed_at")  # fmt: skip
    hint = _("After a restore of an older backup the sealer stops until two persons have said that it may go on.")


@admin.register(CheckpointAddress)
class CheckpointAddressAdmin(ReadOnlyAdmin):
    """Where checkpoints are sent."""

    list_display = ("address", "kind", "given_by", "entered_by", "entered_at", "withdrawn_at")
    list_filter = (("withdrawn_at", admin.EmptyFieldListFilter),)
    lookups = frozenset({"withdrawn_at__isempty"})
    ordering = ("-id",)
    hint = _("An auditor gives the address, an administrator enters it; whoever holds checkpoints can prove the past.")

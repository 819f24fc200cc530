"""Lists and pages of the outbox, checkpoints, their deliveries, verifications and ledger resumptions."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _now, gettext_lazy as _, pgettext_lazy

from audit.actor import name_of
from audit.admin.read_only import ReadOnlyAdmin, cell, column
from audit.cover import ALTERED
from audit.ledger.time_stamps import TOLERATED
from audit.models import Checkpoint, CheckpointDelivery, Event, LedgerResumption, Outbox, Verification
from audit.offline.ringi_verify import STAMP
from environments.admin.rights import rights_of
from environments.times import stamp


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin):
    """Outbox entries: notifications to be created from operations."""

    list_display = ("id", "event", "object", "created", "sent", "genuine")
    list_filter = (("sent_at", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    hint = _("Events wait here until Ringi notifies people of them under the procedure's notification rules.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Outbox]:
        """Compare each entry with the event that holds its digest; none is shown to readers of some applications."""
        found: QuerySet[Outbox] = super().get_queryset(request)
        if rights_of(request).applications is not None:
            return found.none()
        return found.annotate(altered=RawSQL(ALTERED.format(table="audit_outbox"), ()))

    @column(_("altered"))
    def genuine(self, row: Outbox) -> str:
        """Return in red that the entry was altered after it was recorded."""
        altered = getattr(row, "altered", False)
        return format_html('<span class="r-chip bad">{}</span>', _now("altered")) if altered else "—"

    created = cell(stamp, "created_at", _("created at"), "id")
    sent = cell(stamp, "sent_at", _("sent at"))


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Signed statements over the ledger."""

    list_display = ("number", "signed", "stamped")
    ordering = ("-number",)
    shown_fields = ("number", "signed", "stamped", "note")
    hint = _(
        "A time stamp shows that a checkpoint existed at a moment of the authority's clock. Beside it stands by how "
        "much the clock of the ledger differed when the stamp came."
    )

    signed = cell(stamp, "at", _("time"), "at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Checkpoint]:
        """Read the event of its time stamp with each checkpoint."""
        about = Concat(Value("audit.Checkpoint:"), Cast(OuterRef("pk"), TextField()))
        stamps = Event.objects.filter(object=about, operation=STAMP, outcome="done").order_by("at")
        found: QuerySet[Checkpoint] = super().get_queryset(request)
        return found.annotate(time_stamp=Subquery(stamps.values("bytes")[:1]))

    @column(_("time stamp"))
    def stamped(self, row: Checkpoint) -> str:
        """Return the authority's moment, and the difference of the ledger's clock; in red where that is too much."""
        raw = getattr(row, "time_stamp", None)
        if raw is None:
            return "—"
        try:
            event = json.loads(bytes(raw))
            at, moment = (datetime.fromisoformat(text) for text in (event["ts"], event["after"]["time"]))
        except (KeyError, TypeError, ValueError):
            return "?"
        kind = "bad" if abs(at - moment) > TOLERATED else "good"
        apart = f"{(at - moment).total_seconds():+.0f} s"
        return format_html('{} <span class="r-chip {}">{}</span>', stamp(moment), kind, apart)


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin):
    """Verifications: when which events were verified, and the result."""

    list_display = ("ended", "whole", "first", "last", "outcome", "found")
    list_filter = ("result", "whole")
    lookups = frozenset({"result", "result__exact", "whole", "whole__exact"})
    ordering = ("-id",)
    shown_fields = ("ended", "whole", "first", "last", "signed", "outcome", "found", "digest")
    hint = _("Ringi verifies what is new in the ledger every hour and all of it every night.")

    ended = cell(stamp, "ended_at", _("ended"), "ended_at")

    @column(_("result"))
    def outcome(self, row: Verification) -> str:
        """Return the result, and whether two people have accepted it."""
        words = [row.get_result_display(), *([_now("confirmed by two people")] if row.digest and row.accepted else [])]
        return format_html('<span class="r-chip {}">{}</span>', "bad" if row.digest else "good", " · ".join(words))

    found = cell(str, "words", _("finding"))


@admin.register(LedgerResumption)
class LedgerResumptionAdmin(ReadOnlyAdmin):
    """Ledger resumptions: what two people decided after a restore."""

    list_display = ("__str__", "signed_before", "requester", "requested", "confirmer", "confirmed")
    ordering = ("-id",)
    shown_fields = (
        "refusal",
        "signed_before",
        "reason",
        "requester",
        "requested",
        "confirmer",
        "confirmed",
        "digest",
        "note",
    )
    hint = _(
        "After a restore of an older backup the ledger signer stops. It signs again once two persons have "
        "agreed here, and"
        " the operator of its host has accepted that with manage.py ledger_signer --resume."
    )

    refusal = cell(lambda v: format_html('<span lang="en">{}</span>', v), "finding", _("finding"))
    signed_before = cell(str, "size", _("events signed before"), "size")
    requester = cell(name_of, "requested_by", pgettext_lazy("ledger resumption", "requested by"), "requested_by")
    requested = cell(stamp, "requested_at", _("requested"), "requested_at")

    @column(pgettext_lazy("ledger resumption", "confirmed by"), "confirmed_by")
    def confirmer(self, row: LedgerResumption) -> str:
        """Return the second person; a dash until one has confirmed."""
        return name_of(row.confirmed_by) or "—"

    confirmed = cell(stamp, "confirmed_at", pgettext_lazy("ledger resumption", "confirmed"), "confirmed_at")


@admin.register(CheckpointDelivery)
class CheckpointDeliveryAdmin(ReadOnlyAdmin):
    """Checkpoint deliveries: where checkpoints are sent."""

    list_display = ("address", "kind", "giver", "enterer", "entered", "removed")
    list_filter = (("removed_at", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    shown_fields = ("address", "kind", "giver", "reason", "enterer", "entered", "removed")
    hint = _(
        "An auditor gives the address, and an administrator enters it. A person who holds checkpoints can prove "
        "the past."
    )

    giver = cell(str, "given_by", _("given by (auditor)"), "given_by")
    enterer = cell(name_of, "entered_by", _("entered by"), "entered_by")
    entered = cell(stamp, "entered_at", _("entered"), "entered_at")
    removed = cell(stamp, "removed_at", _("removed"), "removed_at")

    def extra(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Name the page by its type: an address as a title would begin with a capital."""
        return {"title": self.opts.verbose_name}

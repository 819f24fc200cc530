"""The outbox, checkpoints, where they are sent, and goings on after a restore: lists and pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from audit.actor import name_of
from audit.admin.read_only import ReadOnlyAdmin, column
from audit.models import Checkpoint, CheckpointAddress, Continuation, Outbox
from environments.times import stamp


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin):
    """Messages to be made of acts."""

    list_display = ("id", "event", "object", "created", "sent")
    list_filter = (("sent_at", admin.EmptyFieldListFilter),)
    lookups = frozenset({"sent_at__isempty"})
    ordering = ("-id",)
    hint = _("What has happened waits here to be told to the people of the procedure's message rules.")

    @column(_("created at"), "id")
    def created(self, row: Outbox) -> str:
        """Return when it was written."""
        return stamp(row.created_at)

    @column(_("sent at"))
    def sent(self, row: Outbox) -> str:
        """Return when it was sent."""
        return stamp(row.sent_at)


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Signed statements over the ledger."""

    list_display = ("number", "signed")
    ordering = ("-number",)
    shown_fields = ("number", "signed", "note")

    @column(_("at"), "at")
    def signed(self, row: Checkpoint) -> str:
        """Return when it was signed."""
        return stamp(row.at)


@admin.register(Continuation)
class ContinuationAdmin(ReadOnlyAdmin):
    """What two persons decided after a restore."""

    list_display = ("__str__", "signed_before", "proposer", "proposed", "confirmer", "confirmed")
    ordering = ("-id",)
    shown_fields = (
        "refusal",
        "signed_before",
        "reason",
        "proposer",
        "proposed",
        "confirmer",
        "confirmed",
        "digest",
        "note",
    )
    hint = _("After a restore of an older backup the sealer stops until two persons have said that it may go on.")

    @column(_("why the sealer refuses"))
    def refusal(self, row: Continuation) -> str:
        """Return what the sealer wrote into the ledger, in its language."""
        return format_html('<span lang="en">{}</span>', row.why)

    @column(_("events signed before"), "size")
    def signed_before(self, row: Continuation) -> int:
        """Return of how many events the lost note is."""
        return row.size

    @column(pgettext_lazy("going on", "proposed by"), "proposed_by")
    def proposer(self, row: Continuation) -> str:
        """Return who proposed it."""
        return name_of(row.proposed_by)

    @column(_("proposed"), "proposed_at")
    def proposed(self, row: Continuation) -> str:
        """Return when."""
        return stamp(row.proposed_at)

    @column(pgettext_lazy("going on", "confirmed by"), "confirmed_by")
    def confirmer(self, row: Continuation) -> str:
        """Return the second person; a dash while none has confirmed."""
        return name_of(row.confirmed_by) or "—"

    @column(pgettext_lazy("going on", "confirmed"), "confirmed_at")
    def confirmed(self, row: Continuation) -> str:
        """Return when."""
        return stamp(row.confirmed_at)


@admin.register(CheckpointAddress)
class CheckpointAddressAdmin(ReadOnlyAdmin):
    """Where checkpoints are sent."""

    list_display = ("address", "kind", "giver", "enterer", "entered", "withdrawn")
    list_filter = (("withdrawn_at", admin.EmptyFieldListFilter),)
    lookups = frozenset({"withdrawn_at__isempty"})
    ordering = ("-id",)
    shown_fields = ("address", "kind", "giver", "reason", "enterer", "entered", "withdrawn")
    hint = _("An auditor gives the address, an administrator enters it; whoever holds checkpoints can prove the past.")

    @column(_("given by (auditor)"), "given_by")
    def giver(self, row: CheckpointAddress) -> str:
        """Return the auditor who gave it."""
        return row.given_by

    @column(_("entered by"), "entered_by")
    def enterer(self, row: CheckpointAddress) -> str:
        """Return who entered it."""
        return name_of(row.entered_by)

    @column(_("entered"), "entered_at")
    def entered(self, row: CheckpointAddress) -> str:
        """Return when."""
        return stamp(row.entered_at)

    @column(_("withdrawn"), "withdrawn_at")
    def withdrawn(self, row: CheckpointAddress) -> str:
        """Return when it was ended; a dash while checkpoints are sent there."""
        return stamp(row.withdrawn_at)

    def extra(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Name the page by what it is: an address would begin with a capital letter there."""
        return {"title": self.opts.verbose_name}

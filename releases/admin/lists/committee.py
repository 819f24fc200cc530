"""Lists of waivers and of the committee's meetings, and a meeting's page with its decisions and approvals (J3)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.admin.rights import rights_of, shown_to
from environments.language import listed
from environments.times import stamp
from releases.models import CommitteeMeeting, Waiver


@admin.register(CommitteeMeeting)
class MeetingAdmin(ReadOnlyAdmin):
    """All meetings of the release committee."""

    list_display = ("__str__", "held", "present", "recorded_by")
    list_select_related = ("recorded_by",)
    search_fields = ("minutes",)
    shown_fields = ("held", "present", "minutes", "recorded_by")
    detail_template = "lists/meeting.html"
    hint = _(
        "A meeting decision is not an approval. Each attendee makes their own approval decision, which links to "
        "the meeting."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CommitteeMeeting]:
        """Read the attendees in the same query; leave out the meetings on other applications only."""
        rows: QuerySet[CommitteeMeeting] = super().get_queryset(request).prefetch_related("attendees")
        seen = rights_of(request).applications
        return rows if seen is None else rows.filter(decisions__release__application__in=seen).distinct()

    held = cell(stamp, "held_at", _("held"), "held_at")

    @column(_("attendees"))
    def present(self, row: CommitteeMeeting) -> str:
        """Return who attended."""
        return listed(str(person) for person in row.attendees.all())

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the decisions and the approvals that link to the meeting."""
        return {
            "decisions": shown_to(request, row.decisions.select_related("release__application")),
            "approvals": shown_to(
                request,
                row.approval_decisions.select_related("account", "on_behalf", "approval_request__release__application"),
            ),
        }


@admin.register(Waiver)
class WaiverAdmin(ReadOnlyAdmin):
    """All waivers."""

    list_display = ("release", "environment", "gate", "ends", "requested_by", "decided_by", "approved")
    list_select_related = ("release__application", "environment", "requested_by", "decided_by")
    list_filter = ("environment", ("approved_at", admin.EmptyFieldListFilter))
    hint = _(
        "Two people can waive a gate that has not passed, for a limited time. The waived requirement becomes a "
        "follow-up action."
    )

    ends = cell(stamp, "until environment.zone", _("until"), "until")
    approved = cell(stamp, "approved_at environment.zone", _("approved"), "approved_at")

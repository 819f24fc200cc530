"""The emergency stop in the admin: its list and page, and the banner that every page shows while it is active."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _t, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.models import Environment
from environments.times import ZONE, stamp
from releases.gates import emergency_stop
from releases.models import EmergencyStop


@admin.register(EmergencyStop)
class EmergencyStopAdmin(ReadOnlyAdmin):
    """Each emergency stop or pause of production."""

    list_display = ("__str__", "whom", "what_runs", "activated_by", "activated_shown", "lifted_shown")
    list_select_related = ("activated_by", "application")
    shown_fields = ("whom", "what_runs", "activated_by", "activated_shown", "reason", "lifted_shown")
    hint = _(
        "One person can activate the emergency stop. To lift the stop, one person requests this and another person "
        "approves."
    )
    detail_template = "pages/emergency_stop/emergency_stop.html"

    whom = cell(lambda v: str(v) if v is not None else _t("all applications"), "application", _("application"))

    @column(_("running deployments"))
    def what_runs(self, row: EmergencyStop) -> str:
        """Return what happens to the running deployments."""
        return _t("pause before their next step") if row.pauses else _t("are stopped")

    activated_shown = cell(stamp, "activated_at", _("activated at"), "activated_at")
    lifted_shown = cell(stamp, "lifted_at", _("lifted at"), "lifted_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the approval requests for its lift."""
        return {"approval_requests": row.approval_requests.select_related("requested_by").order_by("-pk")}


def banner(stops: list[EmergencyStop]) -> list[tuple[EmergencyStop, str]]:
    """Return the banner's message for each active emergency stop."""
    if not stops:
        return []
    place = Environment.objects.filter(tier=Environment.Tier.PRODUCTION).order_by("order").last()
    zone = place.zone if place is not None else ZONE
    return [(stop, emergency_stop.sentence(stop, zone)) for stop in stops]

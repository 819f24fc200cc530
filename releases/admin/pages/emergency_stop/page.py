"""The emergency stop in the admin: its list and page, and the banner that every page shows while it is on."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _t, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.models import Environment
from environments.times import stamp
from releases.gates import emergency_stop
from releases.models import EmergencyStop


@admin.register(EmergencyStop)
class EmergencyStopAdmin(ReadOnlyAdmin):
    """Each time that production was stopped or paused."""

    list_display = ("__str__", "whom", "what_runs", "activated_by", "pressed_shown", "released_shown")
    list_select_related = ("activated_by", "application")
    shown_fields = ("whom", "what_runs", "activated_by", "pressed_shown", "reason", "released_shown")
    hint = _(
        "One person can activate the emergency stop. To lift the stop, one person requests this and another person "
        "approves."
    )
    detail_template = "pages/emergency_stop/emergency_stop.html"

    whom = cell(lambda v: str(v) if v is not None else _t("all applications"), "application", _("application"))

    @column(_("running deployments"))
    def what_runs(self, row: EmergencyStop) -> str:
        """Return what becomes of the deployments that run."""
        return _t("pause before their next step") if row.pauses else _t("are stopped")

    pressed_shown = cell(stamp, "activated_at", _("activated at"), "activated_at")
    released_shown = cell(stamp, "lifted_at", _("lifted at"), "lifted_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the rounds in which its release was asked for."""
        return {"approval_requests": row.approval_requests.select_related("requested_by").order_by("-pk")}


def banner(switches: list[EmergencyStop]) -> list[tuple[EmergencyStop, str]]:
    """Return what the banner says of each switch that is on."""
    if not switches:
        return []
    place = Environment.objects.filter(tier=Environment.Tier.PRODUCTION).order_by("order").last()
    zone = place.zone if place is not None else "Asia/Tokyo"
    return [(switch, emergency_stop.sentence(switch, zone)) for switch in switches]

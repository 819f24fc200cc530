"""The stop switch in the admin: its list and page, and the banner that every page shows while it is on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, column
from environments.models import Environment
from environments.times import stamp
from releases.gates import stop_switch
from releases.models import StopSwitch


@admin.register(StopSwitch)
class StopSwitchAdmin(ReadOnlyAdmin):
    """Each time that all production was stopped."""

    list_display = ("__str__", "pressed_by", "pressed_shown", "released_shown")
    list_select_related = ("pressed_by",)
    lookups = frozenset()
    shown_fields = ("pressed_by", "pressed_shown", "reason", "released_shown")
    hint = _("One person stops all production; it goes on again when one has applied for it and another consented.")
    detail_template = "ringi/stop_switch.html"

    @column(_("stopped since"), "pressed_at")
    def pressed_shown(self, row: StopSwitch) -> str:
        """Return when it was pressed."""
        return stamp(row.pressed_at)

    @column(_("released"), "released_at")
    def released_shown(self, row: StopSwitch) -> str:
        """Return when it was released."""
        return stamp(row.released_at)

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the rounds in which its release was asked for."""
        return {"rounds": row.rounds.select_related("applicant").order_by("-pk")}


def banner(switch: StopSwitch | None) -> dict[str, Any]:
    """Return what the banner says: nothing while the switch is off."""
    if switch is None:
        return {"switch": None}
    place = Environment.objects.filter(tier=Environment.Tier.PRODUCTION).order_by("order").last()
    return {"switch": switch, "words": stop_switch.sentence(switch, place.zone if place is not None else "Asia/Tokyo")}

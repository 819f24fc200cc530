"""Windows, freezes, holidays and calendar feeds in the admin: read here, changed by operations only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _t, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.admin.rights import rights_of
from environments.calendar.words import hours_in_words, rule_in_words
from environments.models import CalendarFeed, ChangeFreeze, ChangeWindow, Holiday
from environments.times import stamp


@admin.register(ChangeWindow)
class ChangeWindowAdmin(ReadOnlyAdmin):
    """Change windows."""

    list_display = ("__str__", "environment", "whom", "days", "opens", "closes", "on_holiday", "in_effect")
    list_select_related = ("environment", "application")
    list_filter = ("environment",)
    ordering = ("-pk",)
    shown_fields = (
        "name",
        "name_en",
        "environment",
        "whom",
        "rrule",
        "opens",
        "closes",
        "zone",
        "day_offset",
        "since",
        "country",
        "on_holiday",
        "from_procedure",
        "replaces",
        "reason",
        "requested_by",
        "in_effect",
        "cancelled",
    )
    hint = _("A change window is requested on the page of its environment and takes effect after approval.")

    whom = cell(lambda v: str(v) if v is not None else _t("all applications"), "application", _("application"))

    @column(_("release day"))
    def days(self, row: ChangeWindow) -> str:
        """Return the days of a recurring window."""
        return rule_in_words(row.rrule, row.day_offset) if row.rrule else "—"

    @column(_("opens"))
    def opens(self, row: ChangeWindow) -> str:
        """Return when it opens."""
        return stamp(row.starts_at, row.zone) if row.extra else f"{row.start:%H:%M} {row.zone}" if row.start else "—"

    @column(_("closes"))
    def closes(self, row: ChangeWindow) -> str:
        """Return when it closes, or how long it is."""
        return stamp(row.ends_at, row.zone) if row.extra else _t("%(n)d minutes") % {"n": row.length_minutes}

    @column(_("in effect since"))
    def in_effect(self, row: ChangeWindow) -> str:
        """Return since when it counts."""
        if row.cancelled_at is not None:
            return _t("cancelled")
        return stamp(row.in_effect_at, row.zone) if row.in_effect_at is not None else _t("awaiting approval")

    cancelled = cell(stamp, "cancelled_at zone", _("cancelled"))


@admin.register(ChangeFreeze)
class ChangeFreezeAdmin(ReadOnlyAdmin):
    """Change freezes."""

    list_display = ("name", "environment", "whom", "begins", "ends", "recurs", "full", "lifted", "reason", "created_by")
    list_select_related = ("environment", "application", "created_by")
    list_filter = ("environment", "full")
    ordering = ("-pk",)
    shown_fields = (
        "name",
        "environment",
        "whom",
        "begins",
        "ends",
        "recurs",
        "full",
        "reason",
        "created_by",
        "lift_requested_by",
        "lifted",
    )
    hint = _("A freeze is set on the page of its environment.")

    whom = cell(lambda v: str(v) if v is not None else _t("all applications"), "application", _("application"))
    begins = cell(stamp, "starts_at environment.zone", _("begins"), "starts_at")
    ends = cell(stamp, "ends_at environment.zone", _("ends"), "ends_at")

    @column(_("recurs"))
    def recurs(self, row: ChangeFreeze) -> str:
        """Return the days of a recurring freeze, its local start and its length."""
        if not row.rrule or row.start is None:
            return "—"
        return f"{rule_in_words(row.rrule)} · {hours_in_words(row.start, row.length_minutes)}"

    lifted = cell(stamp, "lifted_at environment.zone", _("lifted"), "lifted_at")


@admin.register(Holiday)
class HolidayAdmin(ReadOnlyAdmin):
    """Holidays beside the national ones."""

    list_display = ("day_shown", "name_ja", "name_en", "removed")
    list_filter = (("removed_at", admin.EmptyFieldListFilter),)
    ordering = ("-day",)
    shown_fields = ("day_shown", "name_ja", "name_en", "removed")
    hint = _(
        "These holidays are added to the national holidays. The rule of a change window says whether the window is "
        "marked, moved or left out on a holiday."
    )

    day_shown = cell(lambda v: f"{v:%Y/%m/%d}", "day", _("day"), "day")
    removed = cell(stamp, "removed_at", _("removed"), "removed_at")


@admin.register(CalendarFeed)
class CalendarFeedAdmin(ReadOnlyAdmin):
    """Secret addresses for calendar programs; one's own, and everybody's for those who administer or audit."""

    list_display = ("__str__", "application", "account", "created", "state_now")
    list_select_related = ("application", "account")
    list_filter = ("application", ("revoked_at", admin.EmptyFieldListFilter))
    ordering = ("-pk",)
    shown_fields = ("application", "account", "created", "state_now")
    hint = _("A calendar address is created on the page of its application and shown once.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the addresses of others."""
        rows: QuerySet[Any] = super().get_queryset(request)
        rights = rights_of(request)
        return rows if rights.may("manage_accounts") or rights.may("audit") else rows.filter(account=rights.account)

    created = cell(stamp, "created_at", _("created"), "created_at")

    @column(_("state"))
    def state_now(self, row: CalendarFeed) -> str:
        """Return whether it still answers."""
        if row.revoked_at is not None:
            return _t("revoked")
        return _t("deployed version") if row.account.is_active else _t("invalid: the account is deactivated")

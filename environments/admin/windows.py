"""Windows, freezes, company holidays and calendar addresses in the admin: read here, changed by verbs only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, column
from environments.admin.rights import rights_of
from environments.models import CalendarFeed, ChangeWindow, CompanyHoliday, Freeze
from environments.times import stamp


@admin.register(ChangeWindow)
class ChangeWindowAdmin(ReadOnlyAdmin):
    """When a release may run."""

    list_display = ("__str__", "environment", "whom", "rrule", "opens", "closes", "on_holiday", "force")
    list_select_related = ("environment", "application")
    list_filter = ("environment",)
    lookups = frozenset({"environment__id__exact"})
    ordering = ("-pk",)
    shown_fields = ("name", "name_en", "environment", "whom", "rrule", "opens", "closes", "zone", "day_offset", "since",
                    "country", "on_holiday", "from_procedure", "replaces", "reason", "proposed_by", "force",
                    "withdrawn")  # fmt: skip
    hint = _("A window is proposed on the page of its environment and opens with consent.")

    @column(_("application"))
    def whom(self, row: ChangeWindow) -> str:
        """Return for which application it is."""
        return str(row.application) if row.application is not None else _t("all applications")

    @column(_("opens"))
    def opens(self, row: ChangeWindow) -> str:
        """Return when it opens."""
        return stamp(row.starts_at, row.zone) if row.extra else f"{row.start:%H:%M} {row.zone}" if row.start else "—"

    @column(_("closes"))
    def closes(self, row: ChangeWindow) -> str:
        """Return when it closes, or how long it is."""
        return stamp(row.ends_at, row.zone) if row.extra else _t("%(n)d minutes") % {"n": row.length_minutes}

    @column(_("in force since"))
    def force(self, row: ChangeWindow) -> str:
        """Return since when it counts."""
        if row.withdrawn_at is not None:
            return _t("withdrawn")
        return stamp(row.opened_at, row.zone) if row.opened_at is not None else _t("waits for consent")

    @column(_("withdrawn"))
    def withdrawn(self, row: ChangeWindow) -> str:
        """Return when it was withdrawn."""
        return stamp(row.withdrawn_at, row.zone)


@admin.register(Freeze)
class FreezeAdmin(ReadOnlyAdmin):
    """When nothing is released."""

    list_display = ("name", "environment", "whom", "begins", "ends", "recurs", "absolute", "lifted", "reason",
                    "created_by")  # fmt: skip
    list_select_related = ("environment", "application", "created_by")
    list_filter = ("environment", "absolute")
    lookups = frozenset({"environment__id__exact", "absolute__exact"})
    ordering = ("-pk",)
    shown_fields = ("name", "environment", "whom", "begins", "ends", "recurs", "absolute", "reason", "created_by",
                    "lift_proposed_by", "lifted")  # fmt: skip
    hint = _("A freeze is set on the page of its environment.")

    @column(_("application"))
    def whom(self, row: Freeze) -> str:
        """Return for which application it is."""
        return str(row.application) if row.application is not None else _t("all applications")

    @column(_("begins"), "starts_at")
    def begins(self, row: Freeze) -> str:
        """Return when it begins."""
        return stamp(row.starts_at, row.environment.zone)

    @column(_("ends"), "ends_at")
    def ends(self, row: Freeze) -> str:
        """Return when it ends."""
        return stamp(row.ends_at, row.environment.zone)

    @column(_("recurs"))
    def recurs(self, row: Freeze) -> str:
        """Return the days of a recurring freeze, its local start and its length."""
        if not row.rrule:
            return "—"
        return f"{row.rrule} · {row.start:%H:%M} · {_t('%(n)d minutes') % {'n': row.length_minutes}}"

    @column(_("lifted"), "lifted_at")
    def lifted(self, row: Freeze) -> str:
        """Return when it was lifted."""
        return stamp(row.lifted_at, row.environment.zone)


@admin.register(CompanyHoliday)
class CompanyHolidayAdmin(ReadOnlyAdmin):
    """The company's own days."""

    list_display = ("day_shown", "name_ja", "name_en", "withdrawn")
    list_filter = (("withdrawn_at", admin.EmptyFieldListFilter),)
    lookups = frozenset({"withdrawn_at__isempty"})
    ordering = ("-day",)
    shown_fields = ("day_shown", "name_ja", "name_en", "withdrawn")
    hint = _("Beside the national holidays; windows are flagged, moved or left out on them as their rule says.")

    @column(_("day"), "day")
    def day_shown(self, row: CompanyHoliday) -> str:
        """Return the day as it is written in either language."""
        return f"{row.day:%Y/%m/%d}"

    @column(_("withdrawn"), "withdrawn_at")
    def withdrawn(self, row: CompanyHoliday) -> str:
        """Return when it was withdrawn."""
        return stamp(row.withdrawn_at)


@admin.register(CalendarFeed)
class CalendarFeedAdmin(ReadOnlyAdmin):
    """Secret addresses for calendar programs; one's own, and everybody's for those who administer or audit."""

    list_display = ("__str__", "application", "account", "created", "state_now")
    list_select_related = ("application", "account")
    list_filter = ("application", ("revoked_at", admin.EmptyFieldListFilter))
    lookups = frozenset({"application__id__exact", "revoked_at__isempty"})
    ordering = ("-pk",)
    shown_fields = ("application", "account", "created", "state_now")
    hint = _("An address is made on the page of its application and shown once.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the addresses of others."""
        rows: QuerySet[Any] = super().get_queryset(request)
        rights = rights_of(request)
        return rows if rights.may("account") or rights.may("audit") else rows.filter(account=rights.account)

    @column(_("created"), "created_at")
    def created(self, row: CalendarFeed) -> str:
        """Return when it was made."""
        return stamp(row.created_at)

    @column(_("state"))
    def state_now(self, row: CalendarFeed) -> str:
        """Return whether it still answers."""
        if row.revoked_at is not None:
            return _t("revoked")
        return _t("in force") if row.account.is_active else _t("dead: its account is closed")

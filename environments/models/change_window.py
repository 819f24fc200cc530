"""Recurring change windows, extra windows and freezes (P1). Evaluated by environments/calendar/."""

from collections.abc import Mapping
from copy import copy
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import get_language, gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments import calendar
from environments.models.account import Account
from environments.models.environment import Application, Environment
from environments.times import office_zone


class ChangeWindowQuerySet(models.QuerySet["ChangeWindow"]):
    """Queries over windows."""

    def in_effect(self) -> "ChangeWindowQuerySet":
        """Keep the windows that count: in effect, not cancelled, and not replaced by one in effect."""
        return self.filter(in_effect_at__isnull=False, cancelled_at__isnull=True).exclude(
            replaced_by__in_effect_at__isnull=False
        )

    def reaching(self, application: Application | int) -> "ChangeWindowQuerySet":
        """Keep the windows of an application, those of its procedure, and those of people for whole environments."""
        pk = application.pk if isinstance(application, Application) else application
        followed = Application.objects.filter(pk=pk).values("procedure")
        whole = models.Q(application=None) & (models.Q(from_procedure=False) | models.Q(procedure__in=followed))
        return self.filter(whole | models.Q(application=pk))


class ChangeFreezeQuerySet(models.QuerySet["ChangeFreeze"]):
    """Queries over freezes."""

    def in_effect(self) -> "ChangeFreezeQuerySet":
        """Keep the freezes that were not lifted."""
        return self.filter(lifted_at__isnull=True)

    def reaching(self, application: Application | int) -> "ChangeFreezeQuerySet":
        """Keep the freezes of an application and those of whole environments."""
        return self.filter(models.Q(application=None) | models.Q(application=application))

    def spans(self, after: datetime) -> "list[ChangeFreeze]":
        """Return the freezes, of a recurring one each time that ends after `after`, by their beginning."""
        found = [span for row in self.select_related("environment") for span in row.spans(after)]
        return sorted(found, key=lambda span: (span.starts_at, span.pk))


class ChangeWindow(models.Model):
    """A recurring rule (rrule, zone, start, length) or one extra window (starts_at, ends_at) that needs approval."""

    class OnHoliday(models.TextChoices):
        FLAG = "flag", _("kept and marked")
        SKIP = "skip", _("left out")
        EARLIER = "earlier", _("moved to the working day before")
        LATER = "later", _("moved to the working day after")

    name = models.CharField(_("name"), max_length=100)
    name_en = models.CharField(_("name (English)"), max_length=100, blank=True)
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="windows", verbose_name=_("environment"))
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="windows", verbose_name=_("application")
    )
    rrule = models.CharField(_("rule (RRULE)"), max_length=200, blank=True)
    zone = models.CharField(_("time zone"), max_length=40, default=office_zone)
    start = models.TimeField(_("start"), null=True, blank=True)
    length_minutes = models.PositiveIntegerField(_("length in minutes"), default=0)
    day_offset = models.SmallIntegerField(_("day offset"), default=0)
    since = models.DateField(_("recurrence start"), default=date(2024, 1, 1))
    country = models.CharField(_("country of the holidays"), max_length=2)
    on_holiday = models.CharField(_("holiday handling"), max_length=8, choices=OnHoliday, default=OnHoliday.FLAG)
    starts_at = models.DateTimeField(_("opens"), null=True, blank=True)
    ends_at = models.DateTimeField(_("closes"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    requested_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="+", verbose_name=_("requested by")
    )
    in_effect_at = models.DateTimeField(_("in effect since"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, blank=True)
    from_procedure = models.BooleanField(_("comes with the procedure"), default=False)
    # Of which procedure; empty: of the organisation's. It opens for the applications that follow this one.
    procedure = models.SlugField(
        _("key of the release procedure"), max_length=40, blank=True, default="", db_default=""
    )
    replaces = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="replaced_by", verbose_name=_("replaces")
    )
    objects = ChangeWindowQuerySet.as_manager()
    history = Snapshots()

    LOCK_ORDER = 150

    class Meta:
        verbose_name = _("change window")
        verbose_name_plural = _("change windows")

    def __str__(self) -> str:
        return self.name if get_language() == "ja" else self.name_en or self.name

    @property
    def extra(self) -> bool:
        """Tell whether this is one extra window and not a rule."""
        return not self.rrule

    def as_rule(self, company: Mapping[date, str] | None = None) -> calendar.WindowRule | None:
        """Return the rule as environments/calendar evaluates it, with the entered holidays; None for an extra one."""
        if self.extra or self.start is None:
            return None
        return calendar.WindowRule(
            name=str(self),
            rrule=self.rrule,
            zone=self.zone,
            start=self.start,
            length=timedelta(minutes=self.length_minutes),
            since=self.since,
            day_offset=self.day_offset,
            on_holiday=self.on_holiday,
            country=self.country,
            company=company or {},
        )

    def as_window(self) -> calendar.Window | None:
        """Return the one extra window; None for a rule."""
        if not self.extra or self.starts_at is None or self.ends_at is None:
            return None
        return calendar.Window(self.starts_at, self.ends_at, self.zone, str(self))


class ChangeFreeze(models.Model):
    """A time in which nothing is released, once or again and again; an emergency passes unless it is a full freeze.

    A recurring one (rrule with its UNTIL, start, length_minutes; in the zone of its environment) lies between the
    beginning of its first time and the end of its last. One of the procedure has no end.
    """

    HORIZON = timedelta(days=2 * 366)
    FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

    name = models.CharField(_("name"), max_length=100)
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="freezes", verbose_name=_("environment"))
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="freezes", verbose_name=_("application")
    )
    starts_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"))
    rrule = models.CharField(_("rule (RRULE)"), max_length=200, blank=True)
    start = models.TimeField(_("start"), null=True, blank=True)
    length_minutes = models.PositiveIntegerField(_("length in minutes"), default=0)
    full = models.BooleanField(_("full freeze"), default=False)
    from_procedure = models.BooleanField(_("comes with the procedure"), default=False)
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    reason = models.CharField(_("reason"), max_length=300)
    created_by = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("created by"))
    lift_requested_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("lift requested by")
    )
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)
    objects = ChangeFreezeQuerySet.as_manager()
    history = Snapshots()

    LOCK_ORDER = 13

    class Meta:
        verbose_name = _("change freeze")
        verbose_name_plural = _("change freezes")

    def __str__(self) -> str:
        return self.name

    def as_rule(self) -> calendar.WindowRule | None:
        """Return the rule of a recurring freeze as environments/calendar evaluates it; None for a single one."""
        if not self.rrule or self.start is None:
            return None
        zone, length = self.environment.zone, timedelta(minutes=self.length_minutes)
        # One of the procedure falls on the same days whenever a version set it.
        since = self.starts_at.astimezone(ZoneInfo(zone)).date()
        since = calendar.WindowRule.since if self.from_procedure else since
        return calendar.WindowRule(self.name, self.rrule, zone, self.start, length, since)

    def spans(self, after: datetime) -> "list[ChangeFreeze]":
        """Return the freeze itself, or of a recurring one an unsaved copy for each time that ends after `after`, up to
        HORIZON from then.
        """
        rule = self.as_rule()
        if rule is None:
            return [self]
        until = min(self.ends_at, after + self.HORIZON)
        if self.from_procedure:
            after = max(after, self.starts_at + rule.length)
        return [self.at(w.start, w.end) for w in calendar.windows_between(rule, after, until)]

    def at(self, starts_at: datetime, ends_at: datetime) -> "ChangeFreeze":
        """Return an unsaved copy of the freeze that holds between two instants."""
        span = copy(self)
        span.starts_at, span.ends_at = starts_at, ends_at
        return span

    def as_freeze(self, zone: str) -> calendar.Freeze:
        """Return the freeze as environments/calendar evaluates it, shown in `zone`."""
        return calendar.Freeze(calendar.Window(self.starts_at, self.ends_at, zone, self.name), self.full, self.reason)

"""When a release may run: recurring windows, extra windows and freezes (P1). Evaluated by environments/calendar.py."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.snapshots import Snapshots
from environments.models.account import Account
from environments.models.environment import Application, Environment


class ChangeWindow(models.Model):
    """A recurring rule (rrule, zone, start, length) or one extra window (starts_at, ends_at) that needs consent."""

    name = models.CharField(_("name"), max_length=100)
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="windows", verbose_name=_("environment"))
    application = models.ForeignKey(
        Application,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="windows",
        verbose_name=_("application"),
    )
    rrule = models.CharField(_("rule (RRULE)"), max_length=200, blank=True)
    zone = models.CharField(_("time zone"), max_length=40, default="Asia/Tokyo")
    start = models.TimeField(_("start"), null=True, blank=True)
    length_minutes = models.PositiveIntegerField(_("length in minutes"), default=0)
    starts_at = models.DateTimeField(_("opens"), null=True, blank=True)
    ends_at = models.DateTimeField(_("closes"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    proposed_by = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("proposed by"))
    opened_at = models.DateTimeField(_("in force since"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)
    history = Snapshots()

    LOCK_ORDER = 12

    class Meta:
        verbose_name = _("change window")
        verbose_name_plural = _("change windows")

    def __str__(self) -> str:
        return self.name

    @property
    def extra(self) -> bool:
        """Tell whether this is one extra window and not a rule."""
        return not self.rrule


class Freeze(models.Model):
    """A time in which nothing is released; an emergency passes unless it is absolute."""

    name = models.CharField(_("name"), max_length=100)
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="freezes", verbose_name=_("environment"))
    application = models.ForeignKey(
        Application,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="freezes",
        verbose_name=_("application"),
    )
    starts_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"))
    absolute = models.BooleanField(_("absolute"), default=False)
    reason = models.CharField(_("reason"), max_length=300)
    created_by = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("created by"))
    history = Snapshots()

    class Meta:
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")

    def __str__(self) -> str:
        return self.name

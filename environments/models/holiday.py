"""Holidays beside the national ones that environments/calendar/ knows (P1, J5)."""

from datetime import date

from django.db import models
from django.utils.translation import get_language, gettext_lazy as _

from audit.snapshots import Snapshots


class HolidayQuerySet(models.QuerySet["Holiday"]):
    """Queries over holidays."""

    def days(self) -> dict[date, str]:
        """Return day → name in the reader's language of those that were not removed."""
        return {row.day: str(row) for row in self.filter(removed_at__isnull=True)}


class Holiday(models.Model):
    """One non-working day. Never deleted, only removed."""

    day = models.DateField(_("day"))
    name_ja = models.CharField(_("name (Japanese)"), max_length=60)
    name_en = models.CharField(_("name (English)"), max_length=60)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    objects = HolidayQuerySet.as_manager()
    history = Snapshots()

    LOCK_ORDER = 14

    class Meta:
        verbose_name = _("holiday")
        verbose_name_plural = _("holidays")
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(fields=["day"], condition=models.Q(removed_at__isnull=True), name="holiday_once")
        ]

    def __str__(self) -> str:
        return self.name_ja if get_language() == "ja" else self.name_en

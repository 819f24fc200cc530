"""What is owed afterwards: debts of an emergency, a condition, a pre-authorised way back (P2, B3, J1)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from environments.models import Account, Application
from releases.models.release import Release


class Obligation(models.Model):
    """A debt with a clock; an overdue one blocks the next regular release of its application."""

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="obligations", verbose_name=_("application")
    )
    release = models.ForeignKey(Release, models.PROTECT, related_name="obligations", verbose_name=_("release"))
    what = models.CharField(_("what is owed"), max_length=200)
    due_at = models.DateTimeField(_("due"))
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)
    settled_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("settled by")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)

    LOCK_ORDER = 58

    class Meta:
        verbose_name = _("obligation")
        verbose_name_plural = _("obligations")
        ordering = ["due_at"]

    def __str__(self) -> str:
        return self.what

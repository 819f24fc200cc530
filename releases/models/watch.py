"""Watching a deployment after it is verified, and its samples (R7, B5)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from releases.models.deployment import Deployment
from releases.models.rollback import Rollback


class Watch(models.Model):
    """A span of sampling: time stamps and one derived state."""

    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="watches", verbose_name=_("deployment"))
    rollback = models.ForeignKey(
        Rollback, models.PROTECT, null=True, blank=True, related_name="watches", verbose_name=_("rollback")
    )
    interval_seconds = models.FloatField(_("interval in seconds"))
    duration_seconds = models.FloatField(_("duration in seconds"))
    baseline = models.JSONField(_("baseline"), default=dict)
    triggers = models.JSONField(_("triggers"), default=list)
    began_at = models.DateTimeField(_("began"))
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    verdict = models.CharField(_("verdict"), max_length=20, blank=True)
    judged_by = models.ForeignKey(
        "environments.Account",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("judged by"),
    )
    next_at = models.DateTimeField(_("next sample"), null=True, blank=True)

    LOCK_ORDER = 45

    class Meta:
        verbose_name = _("watch")
        verbose_name_plural = _("watches")
        indexes = [
            models.Index(fields=["next_at"], name="watch_due", condition=models.Q(ended_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} · {self.began_at:%Y-%m-%d %H:%M}"


class Sample(models.Model):
    """One look: per metric its value and verdict (pass, fail, no_data, stale, error); raw counters for the next."""

    watch = models.ForeignKey(Watch, models.CASCADE, related_name="samples", verbose_name=_("watch"))
    due_at = models.DateTimeField(_("due"))
    at = models.DateTimeField(_("taken"))
    up = models.BooleanField(_("answered"))
    raw = models.JSONField(_("raw"), default=dict)
    values = models.JSONField(_("values"), default=dict)
    error = models.CharField(_("error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("sample")
        verbose_name_plural = _("samples")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["watch", "due_at"], name="sample_once")]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S}"

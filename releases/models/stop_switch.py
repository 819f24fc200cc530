"""The switch that stops all production: pressed by one, released by the consent of two; one at a time."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from environments.models import Account


class StopSwitch(models.Model):
    """One time that all production was stopped: on from `pressed_at` until `released_at`."""

    pressed_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("pressed by"))
    pressed_at = models.DateTimeField(_("pressed"))
    reason = models.CharField(_("reason"), max_length=300)
    released_at = models.DateTimeField(_("released"), null=True, blank=True)

    LOCK_ORDER = 52
    # What a signature about it is about: every environment of this tier (environments/signing.py).
    concerns_tier = "production"

    class Meta:
        verbose_name = _("stop switch")
        verbose_name_plural = _("stop switch")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=Q(released_at__isnull=True), name="stop_switch_pressed_once"
            )
        ]

    def __str__(self) -> str:
        return self.reason

    @staticmethod
    def pressed() -> StopSwitch | None:
        """Return the switch that is on, or None."""
        return StopSwitch.objects.filter(released_at=None).first()

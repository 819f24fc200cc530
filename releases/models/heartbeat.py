"""Heartbeats: when a background process was at work last, by the database's clock."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Heartbeat(models.Model):
    """One row a process; the active scheduler renews its own, whichever machine it is on."""

    SCHEDULER = "scheduler"

    process = models.CharField(_("process"), max_length=64, primary_key=True)
    at = models.DateTimeField(_("time"))
    worker = models.CharField(_("host and process ID"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        default_permissions = ()

    def __str__(self) -> str:
        return self.process

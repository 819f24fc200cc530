"""The same columns twice; RINGI_PEER names the library that audits the second. Its rules follow the library's own
guide.
"""

from __future__ import annotations

import os

from django.db import models

PEER = os.environ.get("RINGI_PEER", "")


class Columns(models.Model):
    """The columns of a freeze."""

    name = models.CharField(max_length=100)
    place = models.BigIntegerField(default=1)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    full = models.BooleanField(default=False)
    reason = models.CharField(max_length=300)

    class Meta:
        abstract = True


class Plain(Columns):
    """Audited by no library."""


if PEER == "django-simple-history":
    from simple_history.models import HistoricalRecords

    class Kept(Columns):
        """Kept by django-simple-history."""

        history = HistoricalRecords()

elif PEER == "django-auditlog":
    from auditlog.registry import auditlog

    class Kept(Columns):  # type: ignore[no-redef]
        """Kept by django-auditlog."""

    auditlog.register(Kept)

elif PEER == "django-pghistory":
    import pghistory

    @pghistory.track()
    class Kept(Columns):  # type: ignore[no-redef]
        """Kept by django-pghistory's triggers."""

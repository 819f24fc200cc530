"""Versions of the definition: the files that say what applications, targets and calendars there are to be."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models import Account


class Definition(models.Model):
    """One version, as it was loaded; the newest counts. Never edited. files: path → TOML. digest: SHA-256 of their JSON
    (RFC 8785). writers: path → [key of an author, when] of each load that changed the text, or left the file out.
    """

    number = models.PositiveIntegerField(_("version"), unique=True)
    files = models.JSONField(_("files"))
    digest = models.CharField(_("digest"), max_length=64)
    writers = models.JSONField(_("contributing accounts"), default=dict)
    reason = models.CharField(_("reason"), max_length=300)
    author = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("author"))
    created_at = WrittenAtField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("definition")
        verbose_name_plural = _("definitions")
        ordering = ["-number"]

    def writers_of(self, prefix: str, since: datetime | None) -> set[int]:
        """Return the keys of the accounts that wrote the files below a path since a time; None: ever."""
        loads = [one for path, found in self.writers.items() if path.startswith(prefix) for one in found]
        return {pk for pk, at in loads if since is None or datetime.fromisoformat(at) > since}

    def __str__(self) -> str:
        return str(_("Definition %(number)d")) % {"number": self.number}

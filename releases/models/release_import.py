"""An import of past releases from a repository's tags, and how far a worker is with it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import labelled, listed
from environments.models import Account, Application


class ReleaseImport(models.Model):
    """One import: a worker reads the tags, a person confirms what was found, a worker imports it.

    found: `new` as [version, date, commit], `known` versions, `skipped` as [tag, why]. next_at: when the scheduler
    wakes a worker again should none be at it.
    """

    class Stage(models.TextChoices):
        READING = "reading", _("reading the tags")
        READY = "ready", _("waiting for confirmation")
        IMPORTING = "importing", _("importing")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    AT_WORK = (Stage.READING, Stage.IMPORTING)

    application = models.ForeignKey(Application, models.PROTECT, related_name="+", verbose_name=_("application"))
    patterns = models.JSONField(_("patterns of tags"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_at = WrittenAtField(_("requested at"), auto_now_add=True)
    stage = models.CharField(_("state"), max_length=10, choices=Stage, default=Stage.READING)
    found = models.JSONField(_("found"), default=dict)
    done = models.PositiveIntegerField(_("imported"), default=0)
    failure = models.CharField(_("fault"), max_length=300, blank=True)
    next_at = models.DateTimeField(_("next attempt"))

    class Meta:
        verbose_name = _("import of past releases")
        verbose_name_plural = _("imports of past releases")

    def __str__(self) -> str:
        return labelled(self.application, listed(self.patterns))

    @property
    def total(self) -> int:
        """How many releases are to be imported."""
        return len(self.found.get("new", ()))

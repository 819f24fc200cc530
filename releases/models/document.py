"""Documents of a release (G3) and of a rollback (B6), each with its own states up to publication."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models import Account
from releases.models.release import Release
from releases.models.rollback import Rollback
from releases.state_machines.document import DocumentMachine


class Document(DocumentMachine):
    """One text; content check and approval are by different people than its author."""

    class Kind(models.TextChoices):
        RELEASE_NOTES = "release_notes", _("Release notes")
        CHANGELOG = "changelog", _("Changelog")
        TECHNICAL = "technical_documents", _("Technical documents")
        REPORT = "report", _("Rollback report")
        CAUSE = "cause", _("Cause analysis")
        PREVENTION = "prevention", _("Prevention")

    release = models.ForeignKey(
        Release, models.CASCADE, null=True, blank=True, related_name="documents", verbose_name=_("release")
    )
    rollback = models.ForeignKey(
        Rollback, models.CASCADE, null=True, blank=True, related_name="documents", verbose_name=_("rollback")
    )
    kind = models.CharField(_("type"), max_length=20, choices=Kind)
    body = models.TextField(_("text"))
    edited_by = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("edited by"))
    writers = models.JSONField(_("contributing accounts"), default=list)
    checked_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("checked by")
    )
    approved_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("approved by")
    )
    # When it is committed to the repository of its application; empty unless it waits for that.
    publish_at = models.DateTimeField(_("scheduled publication"), null=True, blank=True)
    publish_failure = models.CharField(_("publication failure"), max_length=300, blank=True)
    published_at = models.DateTimeField(_("published"), null=True, blank=True)
    published_commit = models.CharField(_("commit"), max_length=64, blank=True)
    updated_at = WrittenAtField(_("updated"), auto_now=True)

    LOCK_ORDER = 62

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(release__isnull=False, rollback__isnull=True)
                | models.Q(release__isnull=True, rollback__isnull=False),
                name="document_of_one_thing",
            )
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())


def published_path(document: Document) -> str:
    """Return the path of the page of a release's document; it stays the same before, while and after it is
    published.
    """
    assert document.release is not None
    return f"/admin/published/{document.release.number}/{document.kind}/"

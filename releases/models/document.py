"""Documents of a release (G3) and of a rollback (B6), each with its own states up to publication."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import labelled
from environments.models import Account
from releases.models.preparation import Labelled
from releases.models.release import Release
from releases.models.rollback import Rollback
from releases.state_machines.document import DocumentMachine


class Document(DocumentMachine, Labelled):
    """One text; the procedure says who signs it, each a different person from its authors and from one another."""

    class Kind(models.TextChoices):
        """The documents that Ringi drafts from the facts; a procedure may name further ones."""

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
    kind = models.CharField(_("type"), max_length=60)
    body = models.TextField(_("text"))
    edited_by = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("edited by"))
    writers = models.JSONField(_("contributing accounts"), default=list)
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
        return super().__str__() or str(dict(Document.Kind.choices).get(self.kind, self.kind))

    @property
    def open_signature(self) -> "DocumentSignature | None":
        """The signature that is asked for next, in the order in which the procedure has them."""
        return next((signature for signature in self.signatures.all() if signature.signed_at is None), None)

    @property
    def approver(self) -> Account | None:
        """The person whose signature approved it; None before that."""
        signed = [s.account for s in self.signatures.all() if s.for_state == "approved"]
        return signed[-1] if signed else None


class DocumentSignature(Labelled):
    """One signature of a document, what it means in the procedure's words, and the state that it belongs to."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="signatures", verbose_name=_("document"))
    for_state = models.CharField(_("state"), max_length=20, choices=DocumentMachine.State.choices[1:3])
    # Empty: every role with the permission.
    role = models.CharField(_("role"), max_length=60, blank=True)
    account = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("signed by")
    )
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    signed_at = models.DateTimeField(_("signed"), null=True, blank=True)

    class Meta:
        verbose_name = _("document signature")
        verbose_name_plural = _("document signatures")
        ordering = ["pk"]

    @property
    def shown(self) -> str:
        """Its meaning and the person, in the reader's language."""
        return labelled(self, self.account or "—")


def published_path(document: Document) -> str:
    """Return the path of the page of a release's document; it stays the same before, while and after it is
    published.
    """
    assert document.release is not None
    return f"/admin/published/{document.release.number}/{document.kind}/"

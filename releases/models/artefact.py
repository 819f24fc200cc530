"""Artefacts: what CI has built of a commit, named by digest, for applications that do not deploy their Git tree."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models import Account, Application


class Artefact(models.Model):
    """One built artefact; it never changes. `digest` is its SHA-256 (64 hex): of the file, or of the image's manifest.

    reference: address of the file, or name of the image without a tag. signature: by cosign over the file, or over
    `signed_payload`, which names the image; base64.
    """

    class Kind(models.TextChoices):
        ARCHIVE = "archive", _("archive")
        FILE = "file", _("file")
        IMAGE = "image", _("container image")

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="artefacts", verbose_name=_("application")
    )
    commit = models.CharField(_("commit"), max_length=40)
    kind = models.CharField(_("type"), max_length=8, choices=Kind)
    reference = models.CharField(_("address"), max_length=500)
    digest = models.CharField(_("digest"), max_length=64)
    signature = models.TextField(_("signature"), blank=True)
    signed_payload = models.TextField(_("signed text"), blank=True)
    registered_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("registered by"))
    at = WrittenAtField(_("registered at"), auto_now_add=True)

    class Meta:
        verbose_name = _("artefact")
        verbose_name_plural = _("artefacts")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["application", "commit", "kind"], name="artefact_by_commit")]

    def __str__(self) -> str:
        return f"{self.reference} {self.digest[:12]}"

    @property
    def facts(self) -> dict[str, Any]:
        """What a deployment records of it: id, kind, reference, digest."""
        return {"id": self.pk, "kind": self.kind, "reference": self.reference, "digest": self.digest}

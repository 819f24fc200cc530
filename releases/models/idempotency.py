"""Answers of the API that are repeated for the same idempotency key."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models import Token


class IdempotencyKey(models.Model):
    """One write with one token under one key, with the digest of what it asked for and the answer it was given."""

    token = models.ForeignKey(Token, models.PROTECT, related_name="+", verbose_name=_("token"))
    key = models.CharField(_("key"), max_length=200)
    digest = models.CharField(_("digest of the request"), max_length=64)
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)
    body = models.TextField(_("answer"), blank=True)
    at = WrittenAtField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key

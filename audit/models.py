"""What the ledger keeps: events, their links in the chain, checkpoints; and the outbox that the door fills.

Only functions inside PostgreSQL write the first four (audit.ledger.functions); Django reads them.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Event(models.Model):
    """One fact. `bytes` is what is proven; the other columns are projections of it, for searching."""

    class Kind(models.TextChoices):
        ROW = "row", _("row")
        ACTION = "action", _("action")
        REFUSAL = "refusal", _("refusal")
        ACCESS = "access", _("access")

    id = models.UUIDField(primary_key=True)
    kind = models.TextField(_("kind"), choices=Kind.choices, db_collation="C")
    act = models.UUIDField(_("act"), null=True)
    at = models.DateTimeField(_("at"))
    actor = models.TextField(_("actor"), db_collation="C")
    channel = models.TextField(_("channel"), db_collation="C")
    action = models.TextField(_("action"), db_collation="C")
    object = models.TextField(_("object"), db_collation="C")
    outcome = models.TextField(_("outcome"), db_collation="C")
    reason = models.TextField(_("reason"))
    tx = models.BigIntegerField(_("transaction"))
    bytes = models.BinaryField(_("bytes"))

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["object", "at"], name="audit_event_object_at"),
            models.Index(fields=["actor", "at"], name="audit_event_actor_at"),
            models.Index(fields=["action", "at"], name="audit_event_action_at"),
            models.Index(fields=["act"], name="audit_event_act"),
            models.Index(fields=["tx"], name="audit_event_tx"),
            models.Index(fields=["at"], name="audit_event_seldom", condition=models.Q(kind__in=["refusal", "access"])),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object}".strip()

    @property
    def contents(self) -> dict[str, Any]:
        """The event as it was hashed, parsed: `before` and `after` are objects or None."""
        parsed: dict[str, Any] = json.loads(bytes(self.bytes))
        return parsed


class Link(models.Model):
    """An event in the chain: leaf = SHA-256(0x00 ‖ bytes), chain = SHA-256(0x01 ‖ previous ‖ leaf)."""

    number = models.BigIntegerField(_("number"), primary_key=True)
    event = models.OneToOneField(
        Event, on_delete=models.DO_NOTHING, db_constraint=False, related_name="link", verbose_name=_("event")
    )
    leaf = models.BinaryField(_("leaf"))
    chain = models.BinaryField(_("chain"))

    class Meta:
        verbose_name = _("link")
        verbose_name_plural = _("links")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)


class Head(models.Model):
    """The last number and its chain value; the one row that a commit locks, last of all."""

    id = models.SmallIntegerField(primary_key=True)
    number = models.BigIntegerField(_("number"))
    chain = models.BinaryField(_("chain"))

    class Meta:
        verbose_name = _("head")
        verbose_name_plural = _("heads")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.number)


class Checkpoint(models.Model):
    """A signed statement of the sealer: the first `number` events have this Merkle root."""

    number = models.BigIntegerField(_("number of events"), primary_key=True)
    root = models.BinaryField(_("root"))
    note = models.TextField(_("signed note"))
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)


class Outbox(models.Model):
    """A message to be made of an act, written in the act's own transaction."""

    id = models.BigAutoField(primary_key=True)
    act = models.UUIDField(_("act"))
    event = models.TextField(_("event"))
    object = models.TextField(_("object"))
    payload = models.JSONField(_("payload"))
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    sent_at = models.DateTimeField(_("sent at"), null=True)

    class Meta:
        verbose_name = _("message in the outbox")
        verbose_name_plural = _("outbox")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["id"], name="audit_outbox_unsent", condition=models.Q(sent_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.event} {self.object}".strip()

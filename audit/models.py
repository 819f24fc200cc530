"""What the ledger keeps: events, their links in the chain, checkpoints; the outbox; and what people say of the sealer.

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


class Reconciliation(models.Model):
    """A comparison of history rows with the ledger: how far it is, and what it has found so far."""

    id = models.BigAutoField(primary_key=True)
    begun_at = models.DateTimeField(_("begun at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)
    place = models.JSONField(_("progress"))
    found = models.JSONField(_("found"))

    class Meta:
        verbose_name = _("comparison with the ledger")
        verbose_name_plural = _("comparisons with the ledger")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class Continuation(models.Model):
    """Two persons let the sealer go on after a restore, knowing which signed note is lost by it."""

    id = models.BigAutoField(primary_key=True)
    digest = models.TextField(_("digest of the lost note"), db_collation="C")
    size = models.BigIntegerField(_("number of events"))
    note = models.TextField(_("signed note"))
    why = models.TextField(_("why the sealer refuses"))
    reason = models.TextField(_("reason"))
    proposed_by = models.TextField(_("proposed by"))
    proposed_person = models.TextField(_("person who proposed"))
    proposed_at = models.DateTimeField(_("proposed"))
    confirmed_by = models.TextField(_("confirmed by"), blank=True, default="", db_default="")
    confirmed_person = models.TextField(_("person who confirmed"), blank=True, default="", db_default="")
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)

    LOCK_ORDER = 90
    # What a signature about it is about: every environment of this tier (environments/signing.py).
    concerns_tier = "production"

    class Meta:
        verbose_name = _("going on after a restore")
        verbose_name_plural = _("goings on after a restore")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class CheckpointAddress(models.Model):
    """Where signed checkpoints are sent: given by an auditor, entered by an administrator. Never deleted, only ended."""

    class Kind(models.TextChoices):
        MAIL = "mail", _("Mail")
        POST = "post", _("HTTP (a witness)")

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=4, choices=Kind)
    address = models.CharField(_("destination"), max_length=400)
    given_by = models.CharField(_("given by"), max_length=100)
    reason = models.CharField(_("reason"), max_length=300)
    entered_by = models.TextField(_("entered by"))
    entered_at = models.DateTimeField(_("entered"))
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    LOCK_ORDER = 91
    concerns_tier = "production"

    class Meta:
        verbose_name = _("address for checkpoints")
        verbose_name_plural = _("addresses for checkpoints")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["address"], condition=models.Q(withdrawn_at=None), name="audit_checkpointaddress_once"
            )
        ]

    def __str__(self) -> str:
        return self.address

"""Models of the ledger: events, their links in the chain, checkpoints; the outbox; and resumptions and deliveries of
the ledger signer.

Only functions inside PostgreSQL write the events and what proves them (audit.ledger.functions); Django reads them.
"""

import json
from datetime import UTC
from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext, gettext_lazy as _


class Covered(models.Model):
    """A row whose digest stands in an event with others (audit.cover). covered_by: the operation of that event."""

    covered_by = models.UUIDField(_("covered by operation"), null=True, editable=False)

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["id"], name="%(class)s_uncovered", condition=models.Q(covered_by__isnull=True))]


class Event(models.Model):
    """One fact. `bytes` is what is proven; the other columns are projections of it, for searching."""

    class Kind(models.TextChoices):
        ROW = "row", _("row")
        OPERATION = "operation", _("operation")
        REFUSAL = "refusal", _("refusal")
        ACCESS = "access", _("access")

    id = models.UUIDField(primary_key=True)
    kind = models.TextField(_("type"), choices=Kind.choices, db_collation="C")
    operation_id = models.UUIDField(_("operation ID"), null=True)
    at = models.DateTimeField(_("time"))
    actor = models.TextField(_("actor"), db_collation="C")
    channel = models.TextField(_("channel"), db_collation="C")
    operation = models.TextField(_("operation"), db_collation="C")
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
            models.Index(fields=["operation", "at"], name="audit_event_operation_at"),
            models.Index(fields=["operation_id"], name="audit_event_operation_id"),
            models.Index(fields=["object"], name="audit_event_deleted", condition=models.Q(outcome="deleted")),
            models.Index(fields=["at"], name="audit_event_seldom", condition=models.Q(kind__in=["refusal", "access"])),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.object}".strip()

    @property
    def fault(self) -> str:
        """The fault of the event, where its bytes, the leaf of its link and its columns disagree; else
        empty.
        """
        from audit.ledger.parts import Broken, contents_of, leaf_of  # no worker that writes events needs it

        link = getattr(self, "ledger_entry", None)
        if link is None and not self.is_pending:
            return "it is not in the chain"
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        operation_id = str(self.operation_id) if self.operation_id is not None else None
        who = (str(self.id), self.kind, operation_id, at, self.actor, self.channel)
        columns = (*who, self.operation, self.object, self.outcome, self.reason, self.tx)
        try:
            raw = bytes(self.bytes)
            number, leaf = (link.number, bytes(link.leaf)) if link is not None else (0, leaf_of(raw))
            contents_of(number, leaf, raw, columns)
        except Broken as broken:
            return broken.finding.what
        return ""

    @property
    def is_pending(self) -> bool:
        """Whether the event waits for its number."""
        return getattr(self, "pending", None) is not None

    @property
    def contents(self) -> dict[str, Any]:
        """The event as it was hashed, parsed: `before` and `after` are objects or None."""
        parsed: dict[str, Any] = json.loads(bytes(self.bytes))
        return parsed


class LedgerEntry(models.Model):
    """An event in the chain: leaf = SHA-256(0x00 ‖ bytes), chain = SHA-256(0x01 ‖ previous ‖ leaf)."""

    number = models.BigIntegerField(_("number"), primary_key=True)
    event = models.OneToOneField(
        Event, on_delete=models.DO_NOTHING, db_constraint=False, related_name="ledger_entry", verbose_name=_("event")
    )
    leaf = models.BinaryField(_("leaf"))
    chain = models.BinaryField(_("chain"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)


class PendingEvent(models.Model):
    """An event that waits for its number. position: in the order in which the events were written; tx: whose commit."""

    event = models.OneToOneField(
        Event,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="pending",
        verbose_name=_("event"),
    )
    position = models.BigIntegerField(_("position"))
    tx = models.BigIntegerField(_("transaction"))

    class Meta:
        db_table = "audit_pending"
        verbose_name = _("pending event")
        verbose_name_plural = _("pending events")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.position)


class LedgerHead(models.Model):
    """The last number and its chain value."""

    id = models.SmallIntegerField(primary_key=True)
    number = models.BigIntegerField(_("number"))
    chain = models.BinaryField(_("chain"))

    class Meta:
        verbose_name = _("ledger head")
        verbose_name_plural = _("ledger heads")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.number)

    @property
    def pending(self) -> int:
        """How many events wait for their number."""
        return PendingEvent.objects.count()


class Checkpoint(models.Model):
    """A signed statement of the ledger signer: the first `number` events have this Merkle root."""

    number = models.BigIntegerField(_("number of events"), primary_key=True)
    root = models.BinaryField(_("root"))
    note = models.TextField(_("signed note"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)


class Outbox(Covered):
    """A message to be made of an operation, written in the operation's own transaction."""

    id = models.BigAutoField(primary_key=True)
    operation_id = models.UUIDField(_("operation ID"))
    event = models.TextField(_("event"))
    object = models.TextField(_("object"))
    payload = models.JSONField(_("payload"))
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    sent_at = models.DateTimeField(_("sent at"), null=True)

    class Meta(Covered.Meta):
        verbose_name = _("message in the outbox")
        verbose_name_plural = _("outbox")
        default_permissions = ("view",)
        indexes = [
            *Covered.Meta.indexes,
            models.Index(fields=["id"], name="audit_outbox_unsent", condition=models.Q(sent_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.object}".strip()


class Reconciliation(models.Model):
    """A comparison of history rows with the ledger: how far it is, and what it has found so far."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField(_("begun at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)
    progress = models.JSONField(_("progress"))
    found = models.JSONField(_("found"))

    class Meta:
        verbose_name = _("ledger reconciliation")
        verbose_name_plural = _("ledger reconciliations")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class Verification(models.Model):
    """One verification of the ledger that Ringi made by itself: of which events, and what came out.

    altered: rows outside the ledger that are not what its events say, each as [label, why]. digest: SHA-256 of what is
    wrong, the same while that is the same; two people accept it. Empty where nothing is.
    """

    class Result(models.TextChoices):
        PASSED = "passed", _("Passed")
        FAILED = "failed", _("Failed")
        INCONCLUSIVE = "inconclusive", _("Inconclusive")

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField(_("began"))
    ended_at = models.DateTimeField(_("ended"))
    whole = models.BooleanField(_("whole ledger"))
    first = models.BigIntegerField(_("first event"))
    last = models.BigIntegerField(_("last event"))
    signed = models.BigIntegerField(_("signed up to"))
    result = models.CharField(_("result"), max_length=12, choices=Result)
    number = models.BigIntegerField(_("event number"), null=True)
    finding = models.TextField(_("finding"))
    altered = models.JSONField(_("altered rows"))
    digest = models.TextField(_("digest of the finding"), db_collation="C")

    class Meta:
        verbose_name = _("ledger verification")
        verbose_name_plural = _("ledger verifications")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def words(self) -> str:
        """Return what was found, for people; empty where nothing was."""
        event = gettext("event %(number)s: %(what)s") % {"number": self.number, "what": self.finding}
        found = event if self.number else self.finding
        rows = [gettext("altered: %(row)s") % {"row": row} for row, _why in self.altered]
        return "; ".join([*filter(None, [found]), *rows])

    @property
    def accepted(self) -> bool:
        """Tell whether two people have accepted what was found."""
        return LedgerResumption.objects.filter(digest=self.digest).exclude(confirmed_at=None).exists()


class LedgerResumption(models.Model):
    """Two persons let the ledger signer go on after a restore, knowing which signed note is lost by it."""

    id = models.BigAutoField(primary_key=True)
    digest = models.TextField(_("digest of the lost note"), db_collation="C")
    size = models.BigIntegerField(_("number of events"))
    note = models.TextField(_("signed note"))
    finding = models.TextField(_("finding"))
    reason = models.TextField(_("reason"))
    requested_by = models.TextField(_("requested by"))
    requested_person = models.TextField(_("requester identity"))
    requested_at = models.DateTimeField(_("requested"))
    confirmed_by = models.TextField(_("confirmed by"), blank=True, default="", db_default="")
    confirmed_person = models.TextField(_("confirmer identity"), blank=True, default="", db_default="")
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)

    LOCK_ORDER = 90
    # What a signature about it is about: every environment of this tier (environments/signing.py).
    concerns_tier = "production"

    class Meta:
        verbose_name = _("ledger resumption")
        verbose_name_plural = _("ledger resumptions")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class ClosedYear(models.Model):
    """A fiscal year that one person has requested to close, and that is closed once a second one has confirmed it.

    first, last: numbers of its events. checkpoint: size of the one that proves them. contents: the figures that the
    last of them saw and signed; digest: SHA-256 of their JSON (RFC 8785). archives: [SHA-256, bytes, when] of each
    archive with other bytes than those before.
    """

    id = models.BigAutoField(primary_key=True)
    year = models.IntegerField(_("fiscal year"))
    since = models.DateTimeField(_("first moment"))
    until = models.DateTimeField(_("end"))
    first = models.BigIntegerField(_("first event"))
    last = models.BigIntegerField(_("last event"))
    checkpoint = models.BigIntegerField(_("checkpoint"))
    contents = models.JSONField(_("contents"))
    digest = models.TextField(_("digest"), db_collation="C")
    archives = models.JSONField(_("archives"), default=list)
    reason = models.CharField(_("reason"), max_length=300)
    requested_by = models.TextField(_("requested by"))
    requested_person = models.TextField(_("requester identity"))
    requested_at = models.DateTimeField(_("requested"))
    confirmed_by = models.TextField(_("confirmed by"), blank=True, default="")
    confirmed_person = models.TextField(_("confirmer identity"), blank=True, default="")
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    rejected_at = models.DateTimeField(_("rejected"), null=True, blank=True)

    LOCK_ORDER = 92
    concerns_tier = "production"

    class Meta:
        verbose_name = _("closed year")
        verbose_name_plural = _("closed years")
        default_permissions = ("view",)
        ordering = ["-year", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["year"], condition=models.Q(rejected_at=None), name="audit_closedyear_once"
            ),
            # A request only ever ends as closed or as rejected.
            models.CheckConstraint(
                condition=models.Q(confirmed_at=None) | models.Q(rejected_at=None), name="audit_closedyear_one_end"
            ),
        ]

    def __str__(self) -> str:
        return f"FY{self.year}"


class CheckpointDelivery(models.Model):
    """An address for signed checkpoints: given by an auditor, entered by an administrator. Never deleted, only
    ended.
    """

    class Kind(models.TextChoices):
        MAIL = "mail", _("Mail")
        POST = "post", _("HTTP (a witness)")

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(_("type"), max_length=4, choices=Kind)
    address = models.CharField(_("destination"), max_length=400)
    given_by = models.CharField(_("given by"), max_length=100)
    reason = models.CharField(_("reason"), max_length=300)
    entered_by = models.TextField(_("entered by"))
    entered_at = models.DateTimeField(_("entered"))
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    LOCK_ORDER = 91
    concerns_tier = "production"

    class Meta:
        verbose_name = _("address for checkpoints")
        verbose_name_plural = _("addresses for checkpoints")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["address"], condition=models.Q(removed_at=None), name="audit_checkpointdelivery_once"
            )
        ]

    def __str__(self) -> str:
        return self.address

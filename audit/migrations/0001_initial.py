"""The tables of the ledger. Functions, triggers and rights follow from `audit.capture.install` after each migration."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from audit.ledger.sql import text_of

DROP = (
    "DROP TABLE audit_digest_key, audit_operation_role, audit_checkpointdelivery, audit_ledgerresumption, "
    "audit_verification,"
    " audit_reconciliation, audit_outbox, audit_checkpoint, audit_ledgerhead, audit_ledgerentry, audit_event"
)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(text_of("tables"), DROP)],
            state_operations=[
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("kind", models.TextField(choices=[("row", "row"), ("operation", "operation"), ("refusal", "refusal"), ("access", "access")], db_collation="C", verbose_name="type")),
                        ("operation_id", models.UUIDField(null=True, verbose_name="operation ID")),
                        ("at", models.DateTimeField(verbose_name="time")),
                        ("actor", models.TextField(db_collation="C", verbose_name="actor")),
                        ("channel", models.TextField(db_collation="C", verbose_name="channel")),
                        ("operation", models.TextField(db_collation="C", verbose_name="operation")),
                        ("object", models.TextField(db_collation="C", verbose_name="object")),
                        ("outcome", models.TextField(db_collation="C", verbose_name="outcome")),
                        ("reason", models.TextField(verbose_name="reason")),
                        ("tx", models.BigIntegerField(verbose_name="transaction")),
                        ("bytes", models.BinaryField(verbose_name="bytes")),
                    ],
                    options={
                        "verbose_name": "event",
                        "verbose_name_plural": "events",
                        "default_permissions": ("view",),
                        "indexes": [
                            models.Index(fields=["object", "at"], name="audit_event_object_at"),
                            models.Index(fields=["actor", "at"], name="audit_event_actor_at"),
                            models.Index(fields=["operation", "at"], name="audit_event_operation_at"),
                            models.Index(fields=["operation_id"], name="audit_event_operation_id"),
                            models.Index(fields=["tx"], name="audit_event_tx"),
                            models.Index(condition=models.Q(("outcome", "deleted")), fields=["object"], name="audit_event_deleted"),
                            models.Index(condition=models.Q(("kind__in", ["refusal", "access"])), fields=["at"], name="audit_event_seldom"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="LedgerEntry",
                    fields=[
                        ("number", models.BigIntegerField(primary_key=True, serialize=False, verbose_name="number")),
                        ("leaf", models.BinaryField(verbose_name="leaf")),
                        ("chain", models.BinaryField(verbose_name="chain")),
                        ("event", models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="ledger_entry", to="audit.event", verbose_name="event")),
                    ],
                    options={"verbose_name": "ledger entry", "verbose_name_plural": "ledger entries", "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="LedgerHead",
                    fields=[
                        ("id", models.SmallIntegerField(primary_key=True, serialize=False)),
                        ("number", models.BigIntegerField(verbose_name="number")),
                        ("chain", models.BinaryField(verbose_name="chain")),
                    ],
                    options={"verbose_name": "ledger head", "verbose_name_plural": "ledger heads", "default_permissions": ()},
                ),
                migrations.CreateModel(
                    name="Checkpoint",
                    fields=[
                        ("number", models.BigIntegerField(primary_key=True, serialize=False, verbose_name="number of events")),
                        ("root", models.BinaryField(verbose_name="root")),
                        ("note", models.TextField(verbose_name="signed note")),
                        ("at", models.DateTimeField(verbose_name="time")),
                    ],
                    options={"verbose_name": "checkpoint", "verbose_name_plural": "checkpoints", "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="Outbox",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("operation_id", models.UUIDField(verbose_name="operation ID")),
                        ("event", models.TextField(verbose_name="event")),
                        ("object", models.TextField(verbose_name="object")),
                        ("payload", models.JSONField(verbose_name="payload")),
                        ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="created at")),
                        ("sent_at", models.DateTimeField(null=True, verbose_name="sent at")),
                        ("covered_by", models.UUIDField(editable=False, null=True, verbose_name="covered by operation")),
                    ],
                    options={
                        "verbose_name": "message in the outbox",
                        "verbose_name_plural": "outbox",
                        "default_permissions": ("view",),
                        "abstract": False,
                        "indexes": [
                            models.Index(condition=models.Q(("covered_by__isnull", True)), fields=["id"], name="outbox_uncovered"),
                            models.Index(condition=models.Q(("sent_at__isnull", True)), fields=["id"], name="audit_outbox_unsent"),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Reconciliation",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("started_at", models.DateTimeField(verbose_name="begun at")),
                        ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
                        ("progress", models.JSONField(verbose_name="progress")),
                        ("found", models.JSONField(verbose_name="found")),
                    ],
                    options={"verbose_name": "ledger reconciliation", "verbose_name_plural": "ledger reconciliations", "default_permissions": ()},
                ),
                migrations.CreateModel(
                    name="Verification",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("started_at", models.DateTimeField(verbose_name="began")),
                        ("ended_at", models.DateTimeField(verbose_name="ended")),
                        ("whole", models.BooleanField(verbose_name="whole ledger")),
                        ("first", models.BigIntegerField(verbose_name="first event")),
                        ("last", models.BigIntegerField(verbose_name="last event")),
                        ("signed", models.BigIntegerField(verbose_name="signed up to")),
                        ("result", models.CharField(choices=[("passed", "Passed"), ("failed", "Failed"), ("inconclusive", "Inconclusive")], max_length=12, verbose_name="result")),
                        ("number", models.BigIntegerField(null=True, verbose_name="event number")),
                        ("finding", models.TextField(verbose_name="finding")),
                        ("altered", models.JSONField(verbose_name="altered rows")),
                        ("digest", models.TextField(db_collation="C", verbose_name="digest of the finding")),
                    ],
                    options={"verbose_name": "ledger verification", "verbose_name_plural": "ledger verifications", "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="LedgerResumption",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("digest", models.TextField(db_collation="C", verbose_name="digest of the lost note")),
                        ("size", models.BigIntegerField(verbose_name="number of events")),
                        ("note", models.TextField(verbose_name="signed note")),
                        ("finding", models.TextField(verbose_name="finding")),
                        ("reason", models.TextField(verbose_name="reason")),
                        ("requested_by", models.TextField(verbose_name="requested by")),
                        ("requested_person", models.TextField(verbose_name="requester identity")),
                        ("requested_at", models.DateTimeField(verbose_name="requested")),
                        ("confirmed_by", models.TextField(blank=True, db_default="", default="", verbose_name="confirmed by")),
                        ("confirmed_person", models.TextField(blank=True, db_default="", default="", verbose_name="confirmer identity")),
                        ("confirmed_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
                    ],
                    options={"verbose_name": "ledger resumption", "verbose_name_plural": "ledger resumptions", "default_permissions": ("view",)},
                ),
                migrations.CreateModel(
                    name="CheckpointDelivery",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("kind", models.CharField(choices=[("mail", "Mail"), ("post", "HTTP (a witness)")], max_length=4, verbose_name="type")),
                        ("address", models.CharField(max_length=400, verbose_name="destination")),
                        ("given_by", models.CharField(max_length=100, verbose_name="given by")),
                        ("reason", models.CharField(max_length=300, verbose_name="reason")),
                        ("entered_by", models.TextField(verbose_name="entered by")),
                        ("entered_at", models.DateTimeField(verbose_name="entered")),
                        ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                    ],
                    options={
                        "verbose_name": "address for checkpoints",
                        "verbose_name_plural": "addresses for checkpoints",
                        "default_permissions": ("view",),
                        "constraints": [models.UniqueConstraint(condition=models.Q(("removed_at", None)), fields=("address",), name="audit_checkpointdelivery_once")],
                    },
                ),
            ],
        )
    ]

"""Events are linked behind the write that they come with: the table of those that wait, and the functions for it."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from audit import capture
from audit.ledger.sql import text_of

BACK = (
    "DROP TABLE audit_pending; CREATE INDEX audit_event_tx ON audit_event (tx)"
)


def replace_functions(apps: Any, schema_editor: Any) -> None:
    """Put the functions into force at once: what a later migration writes must be among what waits."""
    schema_editor.execute("DROP TRIGGER IF EXISTS ringi_link ON audit_event")
    schema_editor.execute("DROP FUNCTION IF EXISTS ringi_link()")
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(capture.SQL)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(text_of("pending"), BACK)],
            state_operations=[
                migrations.RemoveIndex("event", "audit_event_tx"),
                migrations.CreateModel(
                    name="PendingEvent",
                    fields=[
                        (
                            "event",
                            models.OneToOneField(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                primary_key=True,
                                related_name="pending",
                                serialize=False,
                                to="audit.event",
                                verbose_name="event",
                            ),
                        ),
                        ("position", models.BigIntegerField(verbose_name="position")),
                        ("tx", models.BigIntegerField(verbose_name="transaction")),
                    ],
                    options={
                        "verbose_name": "pending event",
                        "verbose_name_plural": "pending events",
                        "db_table": "audit_pending",
                        "default_permissions": (),
                    },
                ),
            ],
        ),
        migrations.RunPython(replace_functions, migrations.RunPython.noop),
    ]

"""Keys of personal columns, one for each row; what earlier events hold in clear stays in them."""

from typing import Any

from django.db import migrations

from audit import capture
from audit.ledger.sql import text_of


def replace_functions(apps: Any, schema_editor: Any) -> None:
    """Put the functions into force at once, for what later migrations write."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(capture.SQL)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_closedyear")]

    operations = [
        migrations.RunSQL(text_of("personal"), "DROP TABLE audit_personal_key"),
        migrations.RunPython(replace_functions, migrations.RunPython.noop),
    ]

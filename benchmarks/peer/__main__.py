"""`RINGI_PEER=library DATABASE=conninfo python -m benchmarks.peer SAVES`: prints the times of a save as JSON."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

# Library → its module, and the apps that it wants installed.
PEERS = {
    "django-simple-history": ("simple_history", ["simple_history"]),
    "django-auditlog": ("auditlog", ["auditlog"]),
    "django-pghistory": ("pghistory", ["pgtrigger", "pghistory"]),
}


def main(saves: int) -> None:
    """Make the tables in the database given, save rows of both by turns, and print both spreads and the rows kept."""
    parts = conninfo_to_dict(os.environ["DATABASE"])
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    base = {"ENGINE": "django.db.backends.postgresql"} | {key: str(parts[name]) for key, name in names.items()}
    apps = [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        *PEERS[os.environ["RINGI_PEER"]][1],
        "benchmarks.peer",
    ]
    settings.configure(
        DATABASES={"default": base},
        INSTALLED_APPS=apps,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from benchmarks.peer.models import Kept, Plain
    from benchmarks.report import repeated

    # The tables of this project refer to those of the others, which have migrations and this one has none.
    call_command("migrate", verbosity=0, interactive=False)
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
    if "pgtrigger" in apps:
        call_command("pgtrigger", "install")
    moment = datetime.now(UTC)
    rows: list[Any] = [
        model(name="freeze", starts_at=moment, ends_at=moment + timedelta(days=1), reason="for the measurement")
        for model in (Plain, Kept)
    ]
    for row in rows:
        row.save()

    def save(row: Any) -> None:
        row.reason = f"reason {datetime.now(UTC)}"
        with transaction.atomic():
            row.save()

    spreads = [repeated(saves, lambda row=row: save(row)) for row in rows]
    print(json.dumps({"plain": spreads[0].__dict__, "kept": spreads[1].__dict__, "rows": _kept_rows()}))


def _kept_rows() -> int:
    """Return how many versions the library has written, to see that it did its work."""
    peer = os.environ["RINGI_PEER"]
    if peer == "django-simple-history":
        from benchmarks.peer.models import Kept

        return int(Kept.history.count())  # type: ignore[attr-defined]
    if peer == "django-auditlog":
        from auditlog.models import LogEntry

        return int(LogEntry.objects.count())
    from django.apps import apps

    return int(apps.get_model("peer", "KeptEvent").objects.count())


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""PostgreSQL: its version, the role of the process, the schema, the triggers of the ledger, and its clock."""

import time
from collections.abc import Iterator

from django.db import connection
from django.utils.translation import gettext as _

from audit import roles, schema as schema_of_code
from audit.audited_tables import AUDITED_TABLES
from audit.verification import guard_faults
from environments.language import listed
from releases.doctor.finding import Finding, failed, ok, warning

LEAST_VERSION = 150000
SHOWN = 5
# Seconds between the clock of this machine and the database's.
TOLERATED, WRONG = 2.0, 30.0
# Share of the connections that may be in use.
FULL = 0.8


def _one(statement: str) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found: tuple[object, ...] = cursor.fetchone()
    return found


def server() -> Iterator[Finding]:
    """PostgreSQL is new enough, writable, in UTF-8, and has free connections."""
    version, number, encoding, read_only = _one(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
        " current_setting('server_encoding'), current_setting('transaction_read_only')"
    )
    if not isinstance(number, int) or number < LEAST_VERSION:
        yield failed("PostgreSQL", str(version), _("Use PostgreSQL 15 or newer."))
    elif read_only == "on":
        yield failed("PostgreSQL", _("The database is read-only."), _("Name the primary server in DATABASE_URL."))
    elif encoding != "UTF8":
        yield failed("PostgreSQL", str(encoding), _("Create the database with ENCODING 'UTF8'."))
    else:
        yield ok("PostgreSQL", f"{version} · {encoding}")
    used, most = _one("SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity")
    name, words = _("connections"), f"{used} / {most}"
    if int(str(used)) > FULL * int(str(most)):
        yield warning(name, words, _("Raise max_connections, or end unused connections."))
    else:
        yield ok(name, words)


def role() -> Iterator[Finding]:
    """The role of the process cannot alter the ledger."""
    (who,) = _one("SELECT session_user::text")
    name = _("database role")
    if found := roles.dangers(connection):
        words = f"{who}: {listed(found)}"
        yield failed(name, words, _("Give the process the role of the application; the owner is for migrations only."))
    else:
        yield ok(name, str(who))


def schema() -> Iterator[Finding]:
    """The database has the schema of this code."""
    name = _("schema")
    schema_of_code.refuse_0_1()
    if found := schema_of_code.differences():
        words = _("%(n)s differences: %(first)s") % {"n": len(found), "first": listed(found[:SHOWN])}
        yield failed(name, words, _("Run “manage.py migrate” of this version as the owner."))
    else:
        yield ok(name, _("fits this version"))


def triggers() -> Iterator[Finding]:
    """What writes the ledger is installed and unchanged."""
    name = _("triggers of the ledger")
    if found := guard_faults(connection.connection):
        words = _("%(n)s differences: %(first)s") % {"n": len(found), "first": listed(found[:SHOWN])}
        yield failed(name, words, _("Find out who changed them. Then run “manage.py migrate” as the owner."))
    else:
        yield ok(name, _("%(n)s audited tables") % {"n": len(AUDITED_TABLES)})


def clock() -> Iterator[Finding]:
    """The clocks of this machine and of the database agree."""
    before = time.time()
    (there,) = _one("SELECT extract(epoch FROM clock_timestamp())::float8")
    apart = float(str(there)) - (before + time.time()) / 2
    name, words = _("clock"), _("%(seconds)s s apart from the database's") % {"seconds": f"{apart:+.2f}"}
    advice = _("Synchronise both machines (chrony, systemd-timesyncd).")
    if abs(apart) > WRONG:
        yield failed(name, words, advice)
    elif abs(apart) > TOLERATED:
        yield warning(name, words, advice)
    else:
        yield ok(name, words)


CHECKS = (server, role, schema, triggers, clock)

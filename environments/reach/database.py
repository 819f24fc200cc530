"""A database: PostgreSQL is asked one question, in a transaction that reads only."""

from __future__ import annotations

from typing import ClassVar

import psycopg
from django.utils.translation import gettext as _

from environments.reach.base import SECONDS, Service, Unreached


class Database(Service):
    """Asks for the version and the time; writes nothing."""

    kind: ClassVar[str] = "database"
    schemes: ClassVar[frozenset[str]] = frozenset({"postgres", "postgresql"})

    def reach(self, address: str) -> str:
        """Return the server's version. Raises Unreached with what the server or the way to it says."""
        options = f"-c default_transaction_read_only=on -c statement_timeout={SECONDS * 1000}"
        try:
            with psycopg.connect(address, connect_timeout=SECONDS, options=options) as connection:
                row = connection.execute("SELECT current_setting('server_version')").fetchone()
        except psycopg.OperationalError as fault:
            raise Unreached(str(fault).strip()) from fault
        except psycopg.Error as fault:
            # What cannot be read as an address is quoted in such a message.
            raise Unreached(_("This is no address of a database.")) from fault
        return _("PostgreSQL %(version)s answers") % {"version": row[0] if row else ""}

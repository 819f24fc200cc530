"""A database: PostgreSQL is asked one question, in a transaction that reads only."""

from collections.abc import Iterable
from typing import ClassVar

import psycopg
from django.utils.translation import gettext as _
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from environments.connectivity.addresses import Network
from environments.connectivity.base import SECONDS, CheckNotPossible, NotReached, Service, evaluated

# None of them names a file of this machine, or another place to connect to.
PARAMETERS = frozenset({"host", "port", "dbname", "user", "password", "sslmode", "application_name", "connect_timeout"})


class Database(Service):
    """Asks for the version and the time; writes nothing."""

    kind: ClassVar[str] = "database"
    schemes: ClassVar[frozenset[str]] = frozenset({"postgres", "postgresql"})

    def reach(self, address: str, listed: Iterable[Network] = ()) -> str:
        """Return the server's version. Raises NotReached with what the server or the way to it says."""
        options = f"-c default_transaction_read_only=on -c statement_timeout={SECONDS * 1000}"
        try:
            given = conninfo_to_dict(address)
            if not given.keys() <= PARAMETERS:
                raise CheckNotPossible(_("A connectivity check does not support these address parameters."))
            host = str(given.get("host", ""))
            places = evaluated(host, int(given.get("port") or 5432), listed)
            several = make_conninfo(address, host=",".join([host] * len(places)), hostaddr=",".join(places))
            with psycopg.connect(several, connect_timeout=SECONDS, options=options) as connection:
                row = connection.execute("SELECT current_setting('server_version')").fetchone()
        except psycopg.OperationalError as fault:
            raise NotReached(str(fault).strip()) from fault
        except (psycopg.Error, ValueError) as fault:
            # What cannot be read as an address is quoted in such a message.
            raise NotReached(_("This is not a valid address of a database.")) from fault
        return _("PostgreSQL %(version)s answers") % {"version": row[0] if row else ""}

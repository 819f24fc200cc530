"""PostgreSQL on several hosts: which one is the primary, whether the standbys stream, and whether a failover loses
nothing.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connection
from django.utils.translation import gettext as _

from audit.primary import ORIGIN, hosts
from releases.doctor.finding import Finding, failed, ok, warning

SECONDS = 5
# Bytes that a standby has not replayed yet.
BEHIND = 16 << 20
# The values of synchronous_commit with which a commit that was acknowledged lies on the disk of a standby.
KEPT = ("on", "remote_apply")
OF_A_STANDBY = (
    "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),"
    " greatest(pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn()), 0)::bigint"
)


def replication() -> Iterator[Finding]:
    """One host is the primary, the others stream from it, and it waits for one of them."""
    parameters = connection.get_connection_params()
    named = hosts(parameters)
    if len(named) == 1:
        yield ok(_("replication"), _("DATABASE_URL names one host."))
        return
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    shared = {key: value for key, value in parameters.items() if key in known}
    shared |= {"target_session_attrs": "any", "connect_timeout": SECONDS}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()::text")
        (position,) = cursor.fetchone()
    primaries = []
    for one in named:
        name = f"{one['host']}:{one['port'] or 5432}"
        try:
            with psycopg.connect(**shared | one, autocommit=True) as asked:
                if asked.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                    yield _standby(name, asked.execute(OF_A_STANDBY, [position]).fetchone())
                else:
                    primaries.append((name, (asked.execute(ORIGIN).fetchone() or ("", 0))[1]))
        except psycopg.Error as fault:
            advice = _("Start this server as a standby of the primary.")
            yield warning(name, _("does not answer: %(why)s") % {"why": str(fault).splitlines()[0]}, advice)
    if len(primaries) == 1:
        yield ok(primaries[0][0], _("primary, timeline %(number)s") % {"number": primaries[0][1]})
        yield _synchronous()
    for name, timeline in primaries if len(primaries) > 1 else ():
        words = _("one of %(count)s servers that take writes, timeline %(number)s")
        advice = _("Stop each server but the one with the highest timeline. Rewind it before it starts again.")
        yield failed(name, words % {"count": len(primaries), "number": timeline}, advice)


def _standby(name: str, found: Any) -> Finding:
    streams, behind = found
    words = _("standby, %(bytes)s bytes behind") % {"bytes": behind}
    if not streams or behind is None:
        return warning(name, _("standby that does not stream"), _("Read its log, and its primary_conninfo."))
    if behind > BEHIND:
        return warning(name, words, _("Look for its load and for the network between both servers."))
    return ok(name, words)


def _synchronous() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')")
        standbys, commit = cursor.fetchone()
    name = _("synchronous replication")
    if standbys and commit in KEPT:
        return ok(name, f"{standbys} · synchronous_commit={commit}")
    words = _("off: a failover loses what was acknowledged last, and the ledger signer then refuses to sign.")
    advice = _("Set synchronous_standby_names on the primary, and synchronous_commit to on.")
    return warning(name, words, advice)

"""The time stamps (RFC 3161) of checkpoints in the database, verified with the certificates that this host trusts.

Each is an event of the ledger signer (audit.ledger.stamping), so later checkpoints and later stamps cover it. What a
stamp proves is decided by the offline verifier's own code, so that no two verifiers differ about one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings

from audit.ledger.parts import Finding
from audit.offline import ringi_verify
from audit.offline.ringi_verify import CLOCKS, STAMP, TRANSACTION, Authority, Stamp, stamp_of

TOLERATED, LASTING = timedelta(seconds=CLOCKS), timedelta(seconds=TRANSACTION)
_STAMPS = """
SELECT l.number, e.bytes FROM audit_event e JOIN audit_ledgerentry l ON l.event_id = e.id
WHERE e.operation = %s AND e.outcome = 'done' AND l.number >= coalesce((SELECT max(earlier.number)
  FROM audit_event old JOIN audit_ledgerentry earlier ON earlier.event_id = old.id
  WHERE old.operation = %s AND old.outcome = 'done' AND earlier.number <= %s), 0)
ORDER BY l.number
"""
_CONTRADICTING = """
SELECT l.number, e.at < %(low)s FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id
WHERE l.number > %(behind)s AND l.number <= %(size)s AND (e.at < %(low)s OR e.at > %(high)s) ORDER BY l.number LIMIT 1
"""
_LAST = """
SELECT (SELECT max(at) FROM audit_event WHERE operation = %s AND outcome = 'done'),
  (SELECT bytes FROM audit_event WHERE operation = %s ORDER BY at DESC LIMIT 1),
  (SELECT e.at FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number = 1), clock_timestamp()
"""


def authority() -> Authority | None:
    """Return the authority whose stamps count; None where none is set. Raises OSError, Inconclusive."""
    return Authority(settings.TIME_STAMP_CA) if settings.TIME_STAMP_CA else None


@dataclass(frozen=True)
class LastStamp:
    """The state of time stamping. age: seconds since a stamp was kept, or since the first event; None before that.
    at: when one was kept last. fault: why the last attempt has failed; empty where it has not.
    """

    age: float | None
    at: datetime | None
    fault: str


def last_stamp(connection: Any) -> LastStamp:
    """Return the state of time stamping."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [STAMP, STAMP])
        at, raw, began, moment = cursor.fetchone()
    event = json.loads(bytes(raw)) if raw is not None else None
    fault = str(event["after"].get("said", "")) if event and event["outcome"] == "failed" else ""
    since = at or began
    return LastStamp((moment - since).total_seconds() if since is not None else None, at, fault)


def findings(cursor: Any, known: Authority, behind: int) -> Iterator[Finding]:
    """Yield what is wrong with each time stamp in an event behind a number, and with the times of the events between
    two of them. Raises Inconclusive where no stamp can be verified.
    """
    cursor.execute(_STAMPS, [STAMP, STAMP, behind])
    covered, low = behind, datetime(1970, 1, 1, tzinfo=UTC)
    for number, raw in cursor.fetchall():
        try:
            stamp = stamp_of(number, json.loads(bytes(raw)))
        except ringi_verify.Broken as broken:
            if number > behind:
                yield Finding(number, broken.what)
            continue
        if stamp is None:
            continue
        moment, fault = known.stated(stamp, _digest(cursor, stamp))
        if fault and number > behind:
            yield Finding(number, fault)
        if not moment:
            continue
        stated = datetime.fromtimestamp(moment, UTC)
        if number > behind:
            yield from _contradicting(cursor, covered, stamp.size, low, stated + TOLERATED + timedelta(seconds=1))
        covered, low = max(covered, stamp.size) if number > behind else stamp.size, stated - LASTING
    if low.year > 1970:
        yield from _contradicting(cursor, covered, 2**63 - 1, low, datetime.max.replace(tzinfo=UTC))


def _digest(cursor: Any, stamp: Stamp) -> str | None:
    cursor.execute("SELECT note FROM audit_checkpoint WHERE number = %s", [stamp.size])
    row = cursor.fetchone()
    return sha256(row[0].encode()).hexdigest() if row else None


def _contradicting(cursor: Any, behind: int, size: int, low: datetime, high: datetime) -> Iterator[Finding]:
    """Yield the first event in a range whose time contradicts the stamps before and after it."""
    cursor.execute(_CONTRADICTING, {"behind": behind, "size": size, "low": low, "high": high})
    if row := cursor.fetchone():
        side = "before that of a stamp which does not cover it" if row[1] else "after that of a stamp which covers it"
        yield Finding(row[0], f"it says a time {side}")

"""The ledger verified by itself: the new part every hour, all of it every night, and at once again while it does not
hold.

The scheduler starts `manage.py audit_verify --scheduled` when one is due. Its outcome is a row and an event
(`ledger:verify`); a fault raises `ledger:alarm` once, and again every night. Gates, pages and probes ask
`standing`.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import connection

from audit.clock import now
from audit.cover import cover, faults
from audit.ledger.link import link_pending
from audit.ledger.note import BadNote
from audit.ledger.parts import Finding
from audit.models import Event, LedgerResumption, Verification
from audit.operation import operation
from audit.reconciliation.nightly import OUTCOME as COMPARED, night_before
from audit.verification import remember, remembered, verified

OUTCOME, ALARM = "ledger:verify", "ledger:alarm"
INTERVAL, DAY = timedelta(hours=1), timedelta(days=1)
VERIFIED_WITHIN, RECONCILED_WITHIN = 3 * INTERVAL, 2 * DAY
LOCK = "hashtext('ringi_verification')"
Result = Verification.Result
# Now; when the ledger began; when it was compared last; seconds since an event waits that no checkpoint covers.
_TIMES = """
SELECT clock_timestamp(),
  (SELECT e.at FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number = 1),
  (SELECT max(at) FROM audit_event WHERE operation = %s),
  (SELECT extract(epoch FROM clock_timestamp() - min(e.at))::float FROM audit_event e
   WHERE e.id IN ((SELECT event_id FROM audit_pending ORDER BY event_id LIMIT 1),
     (SELECT event_id FROM audit_ledgerentry
      WHERE number = 1 + coalesce((SELECT max(number) FROM audit_checkpoint), 0))))
"""


@dataclass(frozen=True)
class Standing:
    """The state of the ledger. fault: the last conclusive verification, when it failed without an acceptance since;
    alarm: the same, or another finding of the last one; unsigned: seconds since an event waits for a signature; late:
    no verification has ended lately, or no nightly comparison.
    """

    fault: Verification | None = None
    alarm: Verification | None = None
    last: Verification | None = None
    unsigned: float | None = None
    late: bool = False


def standing() -> Standing:
    """Return the present state of the ledger."""
    last = Verification.objects.order_by("-pk").first()
    # An inconclusive verification does not lift the fault of an earlier one.
    conclusive = last
    if last is not None and last.result == Result.INCONCLUSIVE:
        conclusive = Verification.objects.exclude(result=Result.INCONCLUSIVE).order_by("-pk").first()
    fault = (
        conclusive
        if conclusive is not None and conclusive.result == Result.FAILED and not conclusive.accepted
        else None
    )
    alarm = fault or (last if last is not None and last.digest and not last.accepted else None)
    with connection.cursor() as cursor:
        cursor.execute(_TIMES, [COMPARED])
        moment, began, compared, unsigned = cursor.fetchone()
    since, compared = last.ended_at if last is not None else began, compared or began
    late = since is not None and since < moment - VERIFIED_WITHIN
    late = late or compared is not None and compared < moment - RECONCILED_WITHIN
    return Standing(fault, alarm, last, unsigned, late)


def due(moment: datetime) -> bool:
    """Tell whether a verification is due: an hour after the last one, and at the hour of the night."""
    last = Verification.objects.order_by("-pk").first()
    if last is None:
        return Event.objects.filter(at__lt=moment - INTERVAL).exists()
    return last.started_at < max(moment - INTERVAL, night_before(moment))


def run(*, whole: bool = False) -> Verification | None:
    """Verify what came since the last time, or everything: at night, while something is wrong, and when `whole`.
    Returns None when another process is at it. Memory is bounded, and one process does all.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({LOCK})")
        if not cursor.fetchone()[0]:
            return None
        try:
            return _run(whole)
        finally:
            cursor.execute(f"SELECT pg_advisory_unlock({LOCK})")


def _run(whole: bool) -> Verification:
    stand, moment = standing(), now()
    known = remembered()
    nightly = Verification.objects.filter(whole=True, started_at__gte=night_before(moment)).exists()
    whole = whole or known is None or stand.fault is not None or not nightly
    row = Verification(started_at=moment, whole=whole, first=0, last=0, signed=0, result=Result.INCONCLUSIVE, digest="")
    found: Finding | None = None
    link_pending(connection)
    try:
        begun = None if whole else known
        result = verified(connection.connection, begun=begun, processes=1, accepted=_accepted())
        remember(result)
        report, without_event = result.report, "; ".join(result.not_captured)
        found = (
            report.finding
            or next(iter(report.accepted), None)
            or (Finding(0, without_event) if without_event else None)
        )
        row.first, row.last, row.signed, row.finding = report.first, report.last, report.signed, report.unknown
        if found is not None:
            row.result, row.number, row.finding = Result.FAILED, found.number, found.what
        else:
            row.result = Result.INCONCLUSIVE if report.unknown else Result.PASSED
            strangers = "tables neither audited nor exempt: " + ", ".join(result.unknown_tables)
            row.finding = "; ".join(filter(None, [report.unknown, strangers if result.unknown_tables else ""]))
    except (BadNote, OSError, ValueError, KeyError) as fault:
        row.finding = str(fault)
    cover()
    row.altered = faults(None if whole else moment - DAY)
    if row.result != Result.PASSED or row.altered:
        what = [str(row.result), *([found.number, found.what] if found else []), row.altered]
        row.digest = sha256(json.dumps(what, ensure_ascii=False).encode()).hexdigest()
    with operation(OUTCOME) as op:
        row.ended_at = now()
        row.save()
        op.about(row, result=row.result, first=row.first, last=row.last, number=row.number, altered=row.altered)
        last = stand.last
        new = last is None or last.digest != row.digest or last.started_at < night_before(moment)
        if row.digest and new and not row.accepted:
            op.notify_as(ALARM)
    return row


def _accepted() -> list[Finding]:
    agreed = LedgerResumption.objects.exclude(confirmed_at=None).values("digest")
    rows = Verification.objects.filter(digest__in=agreed, number__gt=0).values_list("number", "finding")
    return [Finding(int(number or 0), what) for number, what in rows.distinct()]

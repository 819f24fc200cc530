"""year:request_closing, year:confirm_closing, year:reject_closing, year:archive: a fiscal year of the ledger is closed.

An auditor requests it, because auditors look from outside at what is open; an administrator confirms it. That role
decides, so two administrators have given it, and its holder keeps two-factor authentication. Both sign the figures that
they saw. Nothing in the ledger changes: the row only names its events.
"""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import rfc8785
from django.db import connection
from django.utils.translation import gettext as _

from audit.clock import now
from audit.export_part import covering
from audit.ledger.link import link_pending
from audit.models import ClosedYear, Verification
from audit.offline.ringi_verify import TRANSACTION
from audit.operation import NothingToDo, operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from audit.standing import standing
from environments import access
from environments.models import Account
from releases.queries.fiscal_year import bounds, fiscal_year
from releases.queries.year_figures import Year, contents

# Years that a person can mean.
YEARS = range(2000, 2200)
_EVENTS = """
SELECT (SELECT e.at FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number = 1),
  (SELECT l.number FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE e.at < %s
    ORDER BY l.number DESC LIMIT 1)
"""


def closed_years() -> list[ClosedYear]:
    """Return the years that two people have closed, the newest first."""
    return list(ClosedYear.objects.exclude(confirmed_at=None).order_by("-year"))


def next_year() -> int | None:
    """Return the year that can be closed next, once it is over; None while the ledger is empty."""
    closed = next(iter(closed_years()), None)
    if closed is not None:
        return closed.year + 1
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [now()])
        began, _last = cursor.fetchone()
    return fiscal_year(began) if began is not None else None


def checked(number: int) -> Year:
    """Return a year that can be closed now. Raises InvalidInput, and NotPossible with the reason why it cannot be."""
    if number not in YEARS:
        raise InvalidInput(_("Enter a year such as 2026."))
    since, until = bounds(number)
    # Until then, a transaction that began in the year may still be under way.
    if now() < until + timedelta(seconds=TRANSACTION):
        raise NotPossible(_("FY%(year)s is not over yet.") % {"year": number})
    if (due := next_year()) is None or number < due:
        raise NotPossible(_("FY%(year)s is closed already, or the ledger began after it.") % {"year": number})
    if number > due:
        raise NotPossible(_("Years are closed in order: close FY%(year)s first.") % {"year": due})
    before = next(iter(closed_years()), None)
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [until])
        last = cursor.fetchone()[1] or 0
        size = covering(cursor, last)
    first = before.last + 1 if before is not None else 1
    if last < first:
        raise NotPossible(_("The ledger has no events of FY%(year)s.") % {"year": number})
    _require_verified(first, last, size)
    return Year(number, since, until, first, last, size)


def _require_verified(first: int, last: int, size: int) -> None:
    stand = standing()
    if stand.fault is not None:
        raise NotPossible(_("The ledger does not verify: %(what)s") % {"what": stand.fault.words})
    if size < last:
        raise NotPossible(_("No checkpoint covers the events of this year yet: the ledger signer is behind."))
    if stand.late or not any(_verifies(row, first, last) for row in _whole()):
        text = _("The nightly verification has not verified the events up to number %(last)s yet.")
        raise NotPossible(text % {"last": last})


def _whole() -> list[Verification]:
    """Return the last verification of the whole ledger that came to a result."""
    conclusive = Verification.objects.filter(whole=True).exclude(result=Verification.Result.INCONCLUSIVE)
    return list(conclusive.order_by("-pk")[:1])


def _verifies(row: Verification, first: int, last: int) -> bool:
    """Tell whether a verification passed for these events. What two people have accepted may lie elsewhere."""
    passed = row.result == Verification.Result.PASSED
    elsewhere = row.accepted and row.number is not None and not first <= row.number <= last
    return row.signed >= last and (passed or elsewhere)


@dataclass(frozen=True)
class Signed:
    """A year with the figures that are signed, and the digest of these."""

    year: Year
    contents: dict[str, object]
    digest: str

    @classmethod
    def of(cls, number: int) -> "Signed":
        """Return what is signed of a year that can be closed now. Raises as `checked`."""
        year = checked(number)
        found = contents(year)
        return cls(year, found, sha256(rfc8785.dumps(found)).hexdigest())


def request_closing(*, year: int, reason: str) -> ClosedYear:
    """Request to close a year that is over, with the figures of now. Raises NotPermitted, InvalidInput, NotPossible."""
    link_pending(connection)
    with operation("year:request_closing", reason=reason, sign=True) as op:
        first = access.require("audit")
        op.require_reason()
        if year in YEARS and ClosedYear.objects.filter(year=year, rejected_at=None).exists():
            raise NotPossible(_("Closing this year has already been requested."))
        signed = Signed.of(year)
        made = ClosedYear.objects.create(
            year=year,
            since=signed.year.since,
            until=signed.year.until,
            first=signed.year.first,
            last=signed.year.last,
            checkpoint=signed.year.checkpoint,
            contents=signed.contents,
            digest=signed.digest,
            reason=reason.strip(),
            requested_by=op.actor.label,
            requested_person=first.person_key,
            requested_at=now(),
        )
        op.signature(digest=made.digest)
        op.about(made, first=made.first, last=made.last)
    return made


def confirm_closing(year_id: int, *, reason: str = "") -> ClosedYear:
    """Close a year as an administrator and another person than the requester, with the figures of now. Raises
    NotPermitted, NotPossible.
    """
    link_pending(connection)
    with operation("year:confirm_closing", (ClosedYear, year_id), reason=reason, sign=True) as op:
        second, row = access.require("manage_accounts"), op.get(ClosedYear)
        if why := over(row):
            raise NotPossible(why)
        if row.requested_person in second.identities:
            raise NotPermitted(_("A second person must confirm this."))
        access.require_still(_requester(row), "audit")
        signed = Signed.of(row.year)
        if (signed.year.first, signed.year.last) != (row.first, row.last):
            raise NotPossible(_("The events of this year are others than those that were shown. Request it again."))
        row.checkpoint, row.contents, row.digest = signed.year.checkpoint, signed.contents, signed.digest
        row.confirmed_by, row.confirmed_person, row.confirmed_at = op.actor.label, second.person_key, now()
        op.signature(digest=row.digest)
        op.details.update(first=row.first, last=row.last)
    return row


def reject_closing(year_id: int, *, reason: str) -> ClosedYear:
    """End a request to close a year; the year stays open. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("year:reject_closing", (ClosedYear, year_id), reason=reason) as op:
        access.require("audit", instead="manage_accounts")
        row = op.get(ClosedYear)
        op.require_reason()
        if why := over(row):
            raise NotPossible(why)
        row.rejected_at = now()
    return row


def record_archive(year_id: int, *, digest: str, length: int) -> ClosedYear:
    """Record the SHA-256 and the length of an archive that was made of a closed year; one with the same bytes is there
    already. Raises NotPermitted, NotPossible.
    """
    with operation("year:archive", (ClosedYear, year_id)) as op:
        if op.actor.kind != "command":
            access.require("audit")
        row = op.get(ClosedYear)
        if row.confirmed_at is None:
            raise NotPossible(_("Two people have not closed this year yet."))
        if digest in [known[0] for known in row.archives]:
            raise NothingToDo
        row.archives = [*row.archives, [digest, length, now().isoformat()]]
        op.details.update(digest=digest, bytes=length)
    return row


def _requester(row: ClosedYear) -> Account:
    return Account.objects.get(pk=int(row.requested_by.split(":")[1]))


def over(row: ClosedYear) -> str:
    """Return why there is nothing left to decide about a request; empty while there is."""
    if row.confirmed_at is not None:
        return _("This year is closed.")
    return _("This request was rejected.") if row.rejected_at is not None else ""

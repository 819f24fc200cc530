"""access_review:open, access_review:keep, access_review:revoke, access_review:close: every grant is looked at again by
its due date (E3).
"""

from datetime import datetime, timedelta

from django.db.models import Max, Min
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.departures import check_departures
from environments.models import AccessGrant, AccessReview, AccessReviewItem, Account

# The written procedure names no interval; every grant is looked at once a year at least.
EVERY = timedelta(days=365)


def open_review(*, due_at: datetime, reason: str) -> AccessReview:
    """Open a review of each grant that counts, or will once its person enrols. Raises NotPermitted, InvalidInput,
    NotPossible.
    """
    with operation("access_review:open", reason=reason, sign=True) as op:
        opener = access.require("manage_access")
        if AccessReview.objects.filter(closed_at=None).exists():
            raise NotPossible(_("A review is open already; close it first."))
        if due_at <= now():
            raise InvalidInput(_("The due date lies in the past."))
        if is_blank(reason):
            raise InvalidInput(_("A review needs a reason."))
        review = AccessReview.objects.create(opened_by=opener, due_at=due_at, reason=reason.strip())
        for grant in AccessGrant.objects.to_review().order_by("account__display_name", "pk"):
            AccessReviewItem.objects.create(review=review, grant=grant)
        op.signature()
        op.about(review, grants=review.items.count())
    return review


def keep(item_id: int, *, note: str = "") -> AccessReviewItem:
    """Confirm that a grant is still needed; the holder themselves may not. Raises NotPermitted, NotPossible."""
    with operation("access_review:keep", *_targets(item_id), reason=note, sign=True) as op:
        item = _decide(op, AccessReviewItem.Result.KEEP, note)
        if op.get(AccessGrant).revoked_at is not None:
            raise NotPossible(_("This grant has already ended."))
    return item


def revoke(item_id: int, *, note: str) -> AccessReviewItem:
    """End a grant that is not needed any more, at once. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("access_review:revoke", *_targets(item_id), reason=note, sign=True) as op:
        item = _decide(op, AccessReviewItem.Result.REVOKE, note)
        if is_blank(note):
            raise InvalidInput(_("Revoking a grant needs a reason."))
        grant = op.get(AccessGrant)
        if grant.revoked_at is None:
            check_departures(op, [grant.pk], refuses=True)
        grant.revoked_at = grant.revoked_at or now()
    return item


def close(review_id: int, *, reason: str = "") -> AccessReview:
    """Close a review when nothing in it is undecided. Raises NotPermitted, NotPossible."""
    with operation("access_review:close", (AccessReview, review_id), reason=reason, sign=True) as op:
        access.require("manage_access")
        review = op.get(AccessReview)
        if review.closed_at is not None:
            raise NotPossible(_("This review is closed."))
        left = undecided(review)
        if left:
            raise NotPossible(_("%(n)d grants of this review are undecided.") % {"n": len(left)})
        review.closed_at = now()
        op.signature()
    return review


def due_since() -> datetime | None:
    """Return since when a new review is due; None while one is open, or when the last one is recent enough.

    The interval counts from the last closed review, and without one from the first grant.
    """
    if AccessReview.objects.filter(closed_at=None).exists():
        return None
    last = AccessReview.objects.aggregate(at=Max("closed_at"))["at"]
    last = last or AccessGrant.objects.aggregate(at=Min("created_at"))["at"]
    return last + EVERY if last is not None and last + EVERY <= now() else None


def undecided(review: AccessReview) -> list[AccessReviewItem]:
    """Return the items that still need a decision."""
    return list(AccessReviewItem.objects.undecided().filter(review=review).select_related("grant__account"))


def _targets(item_id: int) -> list[tuple[type, int]]:
    row = AccessReviewItem.objects.filter(pk=item_id).values("review", "grant").first()
    if row is None:
        raise InvalidInput(_("The selected grant is not part of an access review."))
    return [(AccessReviewItem, item_id), (AccessReview, row["review"]), (AccessGrant, row["grant"])]


def _decide(op: Operation, result: AccessReviewItem.Result, note: str) -> AccessReviewItem:
    item, grant = op.get(AccessReviewItem), op.get(AccessGrant)
    owner: Account = access.require("manage_access", grant.environment)
    if op.get(AccessReview).closed_at is not None:
        raise NotPossible(_("This review is closed."))
    if item.result:
        raise NotPossible(_("This grant is decided already."))
    if owner.is_among(grant.account.identities):
        raise NotPermitted(_("You cannot review your own grant."))
    item.result, item.decided_by, item.decided_at, item.note = result, owner, now(), note.strip()
    op.signature()
    op.about(item, grant=grant.pk, result=str(result))
    return item

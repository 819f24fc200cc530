"""access_review:open, access_review:keep, access_review:revoke, access_review:close: every grant is looked at again by its due date (E3)."""

from datetime import datetime, timedelta

from django.db.models import Max, Min
from django.utils.translation import gettext as _

from audit.change import Act, change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.departures import leaving
from environments.models import AccessGrant, AccessReview, AccessReviewItem, Account

# The written procedure names no interval; every grant is looked at once a year at least.
EVERY = timedelta(days=365)


def open_review(*, due_at: datetime, reason: str) -> AccessReview:
    """Begin a round over every grant that is in force now. Raises NotYou, Invalid, WrongState."""
    with change("access_review:open", reason=reason, sign=True) as act:
        opener = access.require("grant")
        if AccessReview.objects.filter(closed_at=None).exists():
            raise WrongState(_("A review is open already; close it first."))
        if due_at <= now():
            raise Invalid(_("The due date lies in the past."))
        if not reason.strip():
            raise Invalid(_("A review needs a reason."))
        review = AccessReview.objects.create(opened_by=opener, due_at=due_at, reason=reason.strip())
        for grant in AccessGrant.objects.in_force().order_by("account__display_name", "pk"):
            AccessReviewItem.objects.create(review=review, grant=grant)
        act.signature("open")
        act.about(review, grants=review.items.count())
    return review


def keep(item_id: int, *, note: str = "") -> AccessReviewItem:
    """Say that a grant is still needed; not by the holder himself. Raises NotYou, WrongState."""
    with change("access_review:keep", *_targets(item_id), reason=note, sign=True) as act:
        item = _decide(act, AccessReviewItem.Result.KEEP, note)
        if act.get(AccessGrant).revoked_at is not None:
            raise WrongState(_("This grant has already ended."))
    return item


def withdraw(item_id: int, *, note: str) -> AccessReviewItem:
    """End a grant that is not needed any more, at once. Raises NotYou, Invalid, WrongState."""
    with change("access_review:revoke", *_targets(item_id), reason=note, sign=True) as act:
        item = _decide(act, AccessReviewItem.Result.REVOKE, note)
        if not note.strip():
            raise Invalid(_("Revoking a grant needs a reason."))
        grant = act.get(AccessGrant)
        if grant.revoked_at is None:
            leaving(act, [grant.pk], refuses=True)
        grant.revoked_at = grant.revoked_at or now()
    return item


def close(review_id: int, *, reason: str = "") -> AccessReview:
    """End a round when nothing in it is undecided. Raises NotYou, WrongState."""
    with change("access_review:close", (AccessReview, review_id), reason=reason, sign=True) as act:
        access.require("grant")
        review = act.get(AccessReview)
        if review.closed_at is not None:
            raise WrongState(_("This review is closed."))
        left = undecided(review)
        if left:
            raise WrongState(_("%(n)d grants of this review are undecided.") % {"n": len(left)})
        review.closed_at = now()
        act.signature("close")
    return review


def due_since() -> datetime | None:
    """Return since when a new round should be open; None while one is, or when the last one is recent enough.

    It is counted from when the last round was closed, and where there was none from the first grant.
    """
    if AccessReview.objects.filter(closed_at=None).exists():
        return None
    last = AccessReview.objects.aggregate(at=Max("closed_at"))["at"]
    last = last or AccessGrant.objects.aggregate(at=Min("created_at"))["at"]
    return last + EVERY if last is not None and last + EVERY <= now() else None


def undecided(review: AccessReview) -> list[AccessReviewItem]:
    """Return the items that still need a word: not decided, and their grant has not ended by itself."""
    lasting = AccessGrant.objects.lasting()
    return list(review.items.filter(result="", grant__in=lasting).select_related("grant__account"))


def _targets(item_id: int) -> list[tuple[type, int]]:
    row = AccessReviewItem.objects.filter(pk=item_id).values("review", "grant").first()
    if row is None:
        raise Invalid(_("The selected grant is not part of an access review."))
    return [(AccessReviewItem, item_id), (AccessReview, row["review"]), (AccessGrant, row["grant"])]


def _decide(act: Act, verdict: AccessReviewItem.Result, note: str) -> AccessReviewItem:
    item, grant = act.get(AccessReviewItem), act.get(AccessGrant)
    owner: Account = access.require("grant", grant.environment)
    if act.get(AccessReview).closed_at is not None:
        raise WrongState(_("This review is closed."))
    if item.result:
        raise WrongState(_("This grant is decided already."))
    if owner.is_among(grant.account.identities):
        raise NotYou(_("You cannot review your own grant."))
    item.result, item.decided_by, item.decided_at, item.note = verdict, owner, now(), note.strip()
    act.signature(str(verdict))
    act.about(item, grant=grant.pk, verdict=str(verdict))
    return item

"""What waits about access: requests, an open review, deputies and first passwords. My work's list calls it."""

from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.models import Event, LedgerResumption
from audit.reconciliation import night
from environments.actions.access.review import due_since
from environments.actions.ledger import go_on
from environments.actions.proposed_change.decide import OPERATIONS
from environments.admin.rights import Rights
from environments.models import AccessRequest, AccessReview, Account, Delegation, RequestedChange
from releases.admin.links import page_of
from releases.admin.shown import when
from releases.admin.wait import MOST, Wait


def access_waits(rights: Rights, account: Account, moment: datetime) -> list[Wait]:
    """Return what waits about access, each for somebody who may answer it."""
    found: list[Wait] = []
    if rights.may("account"):
        found += _refused_sealer()
    if rights.may("consent"):
        found += _restored_ledger(account)
    if rights.may("audit"):
        found += _history_waits()
    changes = RequestedChange.objects.filter(decided_at=None).exclude(requested_by=account).exclude(account=account)
    found += [
        Wait(_("Confirm or reject change"), str(row), page_of(row), row.reason, urgent=True)
        for row in changes.select_related("target", "account", "environment")[:MOST]
        if rights.may(OPERATIONS[row.event][0])
    ]
    asked = AccessRequest.objects.filter(decided_at=None).exclude(account=account)
    for row in asked.select_related("account", "environment").order_by("requested_at")[:MOST]:
        if rights.may("grant", row.environment):
            hours = _("%(n)d h") % {"n": row.hours}
            found.append(Wait(_("Decide on access request"), str(row), page_of(row), f"{hours} · {row.reason}",
                              urgent=True))  # fmt: skip
    if rights.may("grant"):
        for review in AccessReview.objects.filter(closed_at=None).annotate(
            left=Count("items", filter=Q(items__result=""))
        ):
            words = _("%(n)d grants are undecided") % {"n": review.left}
            found.append(Wait(_("Review access grants"), str(review), page_of(review), words, review.due_at,
                              urgent=review.due_at < moment))  # fmt: skip
        since = due_since()
        if since is not None:
            words = _("Access review due since %(since)s") % {"since": when(since)}
            found.append(Wait(_("Open access review"), words, reverse("act-new", args=["access_review", "open"]), due=since,
                              urgent=True))  # fmt: skip
        absences = Delegation.objects.filter(confirmed_at=None, revoked_at=None, until__gt=moment).exclude(
            Q(delegator=account) | Q(delegate=account) | Q(requested_by=account)
        )
        found += [
            Wait(_("Confirm delegation"), str(row), page_of(row), row.reason, row.starts_at)
            for row in absences.select_related("delegator", "delegate")[:MOST]
        ]
    return found


def _refused_sealer() -> list[Wait]:
    """Return the sealer's refusal while nobody has answered it."""
    said = go_on.refusal()
    if said is None or LedgerResumption.objects.filter(digest=said["digest"]).exists():
        return []
    page = reverse("act-new", args=["ledger", "request_resumption"])
    return [
        Wait(
            _("The ledger signer refuses to sign"),
            _("events are missing or were altered"),
            page,
            said["why"],
            urgent=True,
        )
    ]


def _restored_ledger(account: Account) -> list[Wait]:
    """Return what an administrator has proposed about the sealer and the committee has not consented to."""
    rows = LedgerResumption.objects.filter(confirmed_at=None).exclude(requested_person=account.person_key)
    return [Wait(_("Confirm ledger resumption"), str(row), page_of(row), row.reason, urgent=True) for row in rows]


def _history_waits() -> list[Wait]:
    """Return the alarm of the last comparison of the history with the ledger, until one finds nothing."""
    last = Event.objects.filter(operation=night.OUTCOME).order_by("-at").first()
    rows = last.contents["after"]["unexplained"] if last is not None else 0
    if not rows:
        return []
    words = _("%(n)d rows") % {"n": rows}
    page = reverse("audit-test", args=["history-unexplained"])
    return [
        Wait(
            _("Explain changes without events"),
            words,
            page,
            _("found by the nightly ledger reconciliation"),
            urgent=True,
        )
    ]

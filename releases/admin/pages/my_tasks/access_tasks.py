"""Open tasks about access: requests, an open review, delegations and first passwords. My tasks calls it."""

from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.models import Event, LedgerResumption
from audit.reconciliation import nightly
from environments.admin.rights import Rights
from environments.models import AccessRequest, AccessReview, Account, Delegation, RequestedChange
from environments.operations.access_review.review import due_since
from environments.operations.ledger import resume
from environments.operations.requested_change.decide import OPERATIONS
from releases.admin.components.formatting import when
from releases.admin.components.links import page_of
from releases.admin.pages.my_tasks.task import MOST, Task


def access_tasks(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    """Return the open tasks about access, each for somebody who may complete it."""
    found: list[Task] = []
    if rights.may("manage_accounts"):
        found += _refused_signing()
    if rights.may("approve_change"):
        found += _restored_ledger(account)
    if rights.may("audit"):
        found += _failed_reconciliation()
    changes = RequestedChange.objects.filter(decided_at=None).exclude(requested_by=account).exclude(account=account)
    found += [
        Task(_("Confirm or reject change"), str(row), page_of(row), row.reason, urgent=True)
        for row in changes.select_related("target", "account", "environment")[:MOST]
        if rights.may(OPERATIONS[row.event][0])
    ]
    asked = AccessRequest.objects.filter(decided_at=None).exclude(account=account)
    for row in asked.select_related("account", "environment").order_by("requested_at")[:MOST]:
        if rights.may("manage_access", row.environment):
            hours = _("%(n)d h") % {"n": row.hours}
            found.append(
                Task(_("Decide on access request"), str(row), page_of(row), f"{hours} · {row.reason}", urgent=True)
            )
    if rights.may("manage_access"):
        for review in AccessReview.objects.filter(closed_at=None).annotate(
            left=Count("items", filter=Q(items__result=""))
        ):
            words = _("%(n)d grants are undecided") % {"n": review.left}
            found.append(
                Task(
                    _("Review access grants"),
                    str(review),
                    page_of(review),
                    words,
                    review.due_at,
                    urgent=review.due_at < moment,
                )
            )
        since = due_since()
        if since is not None:
            words = _("Access review due since %(since)s") % {"since": when(since)}
            found.append(
                Task(
                    _("Open access review"),
                    words,
                    reverse("operation-new", args=["access_review", "open"]),
                    due=since,
                    urgent=True,
                )
            )
        absences = Delegation.objects.filter(confirmed_at=None, revoked_at=None, until__gt=moment).exclude(
            Q(delegator=account) | Q(delegate=account) | Q(requested_by=account)
        )
        found += [
            Task(_("Confirm delegation"), str(row), page_of(row), row.reason, row.starts_at)
            for row in absences.select_related("delegator", "delegate")[:MOST]
        ]
    return found


def _refused_signing() -> list[Task]:
    """Return the ledger signer's refusal until somebody has answered it."""
    said = resume.refusal()
    if said is None or LedgerResumption.objects.filter(digest=said["digest"]).exists():
        return []
    page = reverse("operation-new", args=["ledger", "request_resumption"])
    return [
        Task(
            _("The ledger signer refuses to sign"),
            _("events are missing or were altered"),
            page,
            said["why"],
            urgent=True,
        )
    ]


def _restored_ledger(account: Account) -> list[Task]:
    """Return the requested ledger resumption that the committee has not yet approved."""
    rows = LedgerResumption.objects.filter(confirmed_at=None).exclude(requested_person=account.person_key)
    return [Task(_("Confirm ledger resumption"), str(row), page_of(row), row.reason, urgent=True) for row in rows]


def _failed_reconciliation() -> list[Task]:
    """Return the alarm of the last ledger reconciliation, until one has no finding."""
    last = Event.objects.filter(operation=nightly.OUTCOME).order_by("-at").first()
    rows = last.contents["after"]["unexplained"] if last is not None else 0
    if not rows:
        return []
    words = _("%(n)d rows") % {"n": rows}
    page = reverse("audit-test", args=["unexplained-history"])
    return [
        Task(
            _("Explain changes without events"),
            words,
            page,
            _("found by the nightly ledger reconciliation"),
            urgent=True,
        )
    ]

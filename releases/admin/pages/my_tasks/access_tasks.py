"""Open tasks about access: requests, an open review, delegations and first passwords. My tasks lists them."""

from collections.abc import Iterator

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.models import ClosedYear, Event, LedgerResumption
from audit.reconciliation import nightly
from environments.models import AccessRequest, AccessReview, Delegation, GroupRole, RequestedChange
from environments.operations.access_review.review import due_since
from environments.operations.ledger import resume
from environments.operations.requested_change.decide import OPERATIONS
from environments.single_sign_on import configured
from releases.admin.components.formatting import when
from releases.admin.pages.my_tasks.task import MOST, Reader, Source, Task, task_on
from releases.models import Erasure


def _refused_signing(reader: Reader) -> Iterator[Task]:
    """Return the ledger signer's refusal until somebody has answered it."""
    said = resume.refusal()
    if said is not None and not LedgerResumption.objects.filter(digest=said["digest"]).exists():
        page = reverse("operation-new", args=["ledger", "request_resumption"])
        words = _("events are missing or were altered")
        yield Task(_("The ledger signer refuses to sign"), words, page, said["why"], urgent=True)


def _restored_ledger(reader: Reader) -> Iterator[Task]:
    """Return the requested ledger resumption that the committee has not yet approved."""
    waiting = LedgerResumption.objects.filter(confirmed_at=None)
    for row in waiting.exclude(requested_person__in=reader.account.identities):
        yield task_on(row, _("Confirm ledger resumption"), row.reason, urgent=True)


def _year_to_close(reader: Reader) -> Iterator[Task]:
    """Return the year that an auditor has requested to close."""
    waiting = ClosedYear.objects.filter(confirmed_at=None, rejected_at=None)
    for row in waiting.exclude(requested_person__in=reader.account.identities):
        yield task_on(row, _("Confirm closing of year"), row.reason)


def _failed_reconciliation(reader: Reader) -> Iterator[Task]:
    """Return the alarm of the last ledger reconciliation, until one has no finding."""
    last = Event.objects.filter(operation=nightly.OUTCOME).order_by("-at").first()
    if last is not None and (rows := last.contents["after"]["unexplained"]):
        page, words = reverse("audit-test", args=["unexplained-history"]), _("%(n)d rows") % {"n": rows}
        note = _("found by the nightly ledger reconciliation")
        yield Task(_("Explain changes without events"), words, page, note, urgent=True)


def _requested_changes(reader: Reader) -> Iterator[Task]:
    asked, own = RequestedChange.objects.filter(decided_at=None), reader.account.accounts
    others = asked.exclude(Q(requested_by__in=own) | Q(account__in=own))
    for row in others.select_related("target", "account", "environment")[:MOST]:
        if reader.rights.about(row).may(OPERATIONS[row.event][0]):
            yield task_on(row, _("Confirm or reject change"), row.reason, urgent=True)


def _erasures(reader: Reader) -> Iterator[Task]:
    waiting, person = Erasure.objects.filter(confirmed_at=None, rejected_at=None), reader.account
    waiting = waiting.exclude(Q(requested_person__in=person.identities) | Q(account__in=person.accounts))
    for row in waiting.select_related("account", "recipient")[:MOST]:
        yield task_on(row.person, _("Confirm erasure"), row.reason)


def _access_requests(reader: Reader) -> Iterator[Task]:
    asked = AccessRequest.objects.filter(decided_at=None).exclude(account__in=reader.account.accounts)
    for row in asked.select_related("account", "environment").order_by("requested_at")[:MOST]:
        if reader.rights.about(row).may("manage_access", row.environment):
            hours = _("%(n)d h") % {"n": row.hours}
            yield task_on(row, _("Decide on access request"), f"{hours} · {row.reason}", urgent=True)


def _reviews(reader: Reader) -> Iterator[Task]:
    left = Count("items", filter=Q(items__result=""))
    for review in AccessReview.objects.filter(closed_at=None).annotate(left=left):
        words, urgent = _("%(n)d grants are undecided") % {"n": review.left}, review.due_at < reader.moment
        yield task_on(review, _("Review access grants"), words, review.due_at, urgent=urgent)
    if (since := due_since()) is not None:
        words = _("Access review due since %(since)s") % {"since": when(since)}
        page = reverse("operation-new", args=["access_review", "open"])
        yield Task(_("Open access review"), words, page, due=since, urgent=True)


def _delegations(reader: Reader) -> Iterator[Task]:
    accounts = reader.account.accounts
    own = Q(delegator__in=accounts) | Q(delegate__in=accounts) | Q(requested_by__in=accounts)
    absences = Delegation.objects.filter(confirmed_at=None, revoked_at=None, until__gt=reader.moment).exclude(own)
    for row in absences.select_related("delegator", "delegate")[:MOST]:
        yield task_on(row, _("Confirm delegation"), row.reason, row.starts_at)


def _group_roles(reader: Reader) -> Iterator[Task]:
    waiting = GroupRole.objects.filter(confirmed_at=None, ended_at=None)
    waiting = waiting.exclude(requested_by__in=reader.account.accounts)
    by_groups = configured.offered() or configured.groups_named()
    for row in waiting.select_related("role")[:MOST] if by_groups else ():
        yield task_on(row, _("Confirm role of group"), row.reason, row.requested_at)


ACCESS: list[Source] = [
    ("manage_accounts", _refused_signing),
    ("approve_change", _restored_ledger),
    ("audit", _failed_reconciliation),
    ("manage_accounts", _year_to_close),
    ("manage_accounts", _erasures),
    ("", _requested_changes),
    ("", _access_requests),
    ("manage_access", _reviews),
    ("manage_access", _delegations),
    ("manage_access", _group_roles),
]

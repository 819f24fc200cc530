"""All that one person can sign in a release, or in all, on one page: own words for each item, one proof of identity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit.clock import now
from audit.operation import label, record_refusal
from environments.admin.rights import Rights, found_or_404, page, rights_of, shown_to
from environments.signing import require_factor
from releases.admin.components.formatting import show
from releases.admin.operations import verb as find
from releases.admin.operations.availability import offered
from releases.admin.operations.base import Verb
from releases.admin.pages.approval_request.rows import Clause, Standing, clauses, standing_of
from releases.admin.pages.operation.page import act_on, cleaned
from releases.admin.pages.operation.several import Act, do_all
from releases.admin.pages.operation.submitted import submit, values_of
from releases.models import ApprovalRequest, ChecklistItem, Document, Release, Waiver

# Releases of which one page shows what is to be signed.
MOST = 20
KEYS = {
    ChecklistItem: ("checklist:sign",),
    Document: ("document:check_content", "document:approve"),
    ApprovalRequest: ("approval:approve",),
    Release: ("release:sign_final_check",),
    Waiver: ("waiver:confirm",),
}


@dataclass
class Signature:
    """One item to sign: its release and verb, the row, and a form of its own."""

    release: Release
    verb: Verb
    row: Any
    form: forms.Form
    shown: list[tuple[str, str]]
    clauses: list[Clause]
    body: str = ""
    refused: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the name of its tick box and the prefix of its fields."""
        return f"{self.verb.noun}-{self.verb.name}-{self.row.pk}"

    @property
    def parts(self) -> list[forms.BoundField]:
        """Return the fields that the person types into."""
        return list(self.form.visible_fields())


def waiting_rows(
    release: Release, rights: Rights, open_requests: Sequence[tuple[ApprovalRequest, Standing]] | None = None
) -> list[tuple[Verb, Any]]:
    """Return (verb, row) of what the reader could sign in a release now; each operation checks again.

    open_requests: its open approval requests and their status for the reader, where that is known already.
    """
    account = rights.account
    if account is None or release.state in Release.ENDS:
        return []
    rows: list[Any] = [
        *(row for row in release.checklist.all() if row.signed_at is None),
        *release.documents.all(),
        *(w for w in release.waivers.all() if not (w.approved_at or w.rejected_at or w.revoked_at) and w.until > now()),
        *_approval_requests(release, rights, open_requests),
        release,
    ]
    found = []
    for row in rows:
        for key in KEYS[type(row)]:
            verb = find(*key.split(":"))
            if verb is not None and not verb.not_now(row) and offered(verb, rights, row):
                found.append((verb, row))
                break
    return found


def _approval_requests(
    release: Release, rights: Rights, known: Sequence[tuple[ApprovalRequest, Standing]] | None
) -> list[ApprovalRequest]:
    if release.state != "in_review":
        return []
    if known is None:
        rows = ApprovalRequest.objects.filter(release=release, state="in_review").select_related(
            "environment", "requested_by", "release__author"
        )
        rows = rows.prefetch_related("decisions__account", "decisions__on_behalf")
        known = [(row, standing_of(row, rights)) for row in rows]
    return [row for row, where in known if not where.why_not and not where.given and rights.account in where.candidates]


def _signatures(request: HttpRequest, releases: Iterable[Release], *, unread: Iterable[str] = ()) -> list[Signature]:
    """Return the reader's signatures; ticked forms are bound, and the others keep what was typed.

    unread: items that the operation has refused; the reader must read and tick them again.
    """
    found: list[Signature] = []
    rights = rights_of(request)
    for release, verb, row in ((r, *pair) for r in releases for pair in waiting_rows(r, rights)):
        kind = type("SignForm", (forms.Form,), dict(verb.form_fields(row)))
        prefix = f"{verb.noun}-{verb.name}-{row.pk}"
        posted = prefix in request.POST.getlist("sign") and prefix not in unread
        typed = {part.name: part.data for part in kind(request.POST, prefix=prefix).visible_fields()}
        typed = {name: text for name, text in typed.items() if text is not None}
        form = kind(request.POST, prefix=prefix) if posted else kind(prefix=prefix, initial=typed)
        zone = row.environment.zone if isinstance(row, ApprovalRequest) and row.environment is not None else ""
        found.append(
            Signature(
                release,
                verb,
                row,
                form,
                shown=_about(verb, row, [one for one in found if one.release == release]),
                clauses=clauses(row, rights, zone) if isinstance(row, ApprovalRequest) else [],
                body=row.body if isinstance(row, Document) else "",
            )
        )
    return found


def _about(verb: Verb, row: Any, before: list[Signature]) -> list[tuple[str, str]]:
    """Return what a verb shows, unless the page shows it elsewhere: the content of the release once for all items."""
    again = isinstance(row, ChecklistItem) and any(isinstance(one.row, ChecklistItem) for one in before)
    return [] if verb.shows is None or again or isinstance(row, ApprovalRequest | Document) else verb.shows(row)


def _releases(request: HttpRequest, pk: int | None) -> list[Release]:
    """Return the release of a key, or the next ones that the reader sees and that are not over."""
    rows = Release.objects.select_related("application", "author", "procedure").prefetch_related(
        "changes",
        "checklist",
        "documents__edited_by",
        "documents__signatures",
        "final_checks__account",
        "waivers__requested_by",
        "waivers__environment",
    )
    if pk is not None:
        return [found_or_404(request, rows, pk=pk)]
    if not rights_of(request).grants:
        raise PermissionDenied
    open_ones = shown_to(request, rows.exclude(state__in=Release.ENDS))
    return list(open_ones.order_by(F("scheduled_start_at").asc(nulls_last=True), "pk")[:MOST])


@require_http_methods(["GET", "POST"])
def sign_all(request: HttpRequest, pk: int | None = None) -> HttpResponseBase:
    """Show the reader's open signatures in a release, or in all; sign what is ticked, one operation each."""
    releases = _releases(request, pk)
    if request.method == "GET":
        return _show(request, releases, pk)
    ticked = [s for s in _signatures(request, releases) if s.key in request.POST.getlist("sign")]
    strange = set(request.POST.getlist("sign")) - {signature.key for signature in ticked}
    if strange:
        # Items that the page offers to no one but the reader, or that somebody else has signed meanwhile.
        why = _("You do not have permission to sign this item, or the item is no longer open for signature.")
        about = label(releases[0]) if pk is not None else ""
        record_refusal("release:sign_pending_items", why, object=about, items=sorted(strange)[:20])
    if strange and not ticked:
        messages.error(request, why)
        return HttpResponseRedirect(request.path)
    if not ticked:
        messages.warning(request, _("No item was selected. Select the items to sign."))
        return HttpResponseRedirect(request.path)
    valid = [signature.form.is_valid() for signature in ticked]
    if not all(valid):
        return _page(request, _signatures(request, releases), pk, status=400)
    acts = [Act(one.key, act_on(one.verb, one.row), values_of(one.form), partial(_sign, one)) for one in ticked]
    refused = do_all(request, acts, partial(_prove_all, ticked))
    if isinstance(refused, HttpResponseBase):
        return refused
    if not refused:
        return HttpResponseRedirect(reverse("release", args=[pk]) if pk is not None else reverse("admin:index"))
    left = _signatures(request, _releases(request, pk), unread=refused)
    for signature in left:
        signature.refused = refused.get(signature.key, ())
    return _page(request, left, pk, status=409)


def _sign(signature: Signature) -> None:
    values = cleaned(signature.form)
    submit(partial(signature.verb.operation, signature.row.pk, **values), values)


def _prove_all(ticked: Iterable[Signature]) -> None:
    """Ask for the second factor that any of them needs before the first is signed; raises SecondFactorRequired."""
    for signature in ticked:
        require_factor(signature.verb.key, [signature.row])


@page
def _show(request: HttpRequest, releases: list[Release], pk: int | None) -> HttpResponse:
    return _page(request, _signatures(request, releases), pk)


def _page(request: HttpRequest, signatures: list[Signature], pk: int | None, status: int = 200) -> HttpResponse:
    answer = show(
        request,
        "pages/sign/sign.html",
        _("Sign my pending items"),
        release=_releases(request, pk)[0] if pk is not None else None,
        signatures=signatures,
        ticked=[signature.key for signature in signatures if signature.form.is_bound],
        most=MOST,
    )
    answer.status_code = status
    return answer

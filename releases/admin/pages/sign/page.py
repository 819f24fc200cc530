"""Everything that one person can sign in one release, on one page: own words for each item, one proof of identity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit.actor import acting
from audit.clock import now
from audit.operation import label, record_refusal
from audit.refusals import OperationRefused, SignatureRequired
from environments.admin.rights import Rights, found_or_404, page, rights_of
from environments.language import labelled
from environments.signing import require_factor
from releases.admin.components.formatting import show
from releases.admin.operations import verb as find
from releases.admin.operations.availability import offered
from releases.admin.operations.base import Verb
from releases.admin.pages.approval_request.rows import Clause, Standing, clauses, standing_of
from releases.admin.pages.operation.page import act_on, as_proved, cleaned, contents_of, prove_again, reasons_of
from releases.admin.pages.operation.submitted import submit, values_of
from releases.models import ApprovalRequest, ChecklistItem, Document, Release, Waiver

KEYS = {
    ChecklistItem: ("checklist:sign",),
    Document: ("document:check_content", "document:approve"),
    ApprovalRequest: ("approval:approve",),
    Release: ("release:sign_final_check",),
    Waiver: ("waiver:confirm",),
}


@dataclass
class Signature:
    """One item to sign: its verb, the row, and a form of its own."""

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


def _signatures(request: HttpRequest, release: Release, *, unread: Iterable[str] = ()) -> list[Signature]:
    """Return the reader's signatures; ticked forms are bound, and the others keep what was typed.

    unread: items that the operation has refused; the reader must read and tick them again.
    """
    found: list[Signature] = []
    for verb, row in waiting_rows(release, rights_of(request)):
        kind = type("SignForm", (forms.Form,), dict(verb.form_fields(row)))
        prefix = f"{verb.noun}-{verb.name}-{row.pk}"
        posted = prefix in request.POST.getlist("sign") and prefix not in unread
        typed = {part.name: part.data for part in kind(request.POST, prefix=prefix).visible_fields()}
        typed = {name: text for name, text in typed.items() if text is not None}
        form = kind(request.POST, prefix=prefix) if posted else kind(prefix=prefix, initial=typed)
        zone = row.environment.zone if isinstance(row, ApprovalRequest) and row.environment is not None else ""
        found.append(
            Signature(
                verb,
                row,
                form,
                shown=_about(verb, row, found),
                clauses=clauses(row, rights_of(request), zone) if isinstance(row, ApprovalRequest) else [],
                body=row.body if isinstance(row, Document) else "",
            )
        )
    return found


def _about(verb: Verb, row: Any, before: list[Signature]) -> list[tuple[str, str]]:
    """Return what a verb shows, unless the page shows it elsewhere: the content of the release once for all items."""
    again = isinstance(row, ChecklistItem) and any(isinstance(one.row, ChecklistItem) for one in before)
    return [] if verb.shows is None or again or isinstance(row, ApprovalRequest | Document) else verb.shows(row)


def _release(request: HttpRequest, pk: int) -> Release:
    return found_or_404(
        request,
        Release.objects.select_related("application", "author", "procedure").prefetch_related(
            "changes",
            "checklist",
            "documents__edited_by",
            "documents__signatures",
            "final_checks__account",
            "waivers__requested_by",
            "waivers__environment",
        ),
        pk=pk,
    )


@require_http_methods(["GET", "POST"])
def sign_all(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Show the reader's open signatures in a release, or sign what is ticked, one operation each."""
    release = _release(request, pk)
    if request.method == "GET":
        return _show(request, release)
    ticked = [s for s in _signatures(request, release) if s.key in request.POST.getlist("sign")]
    strange = set(request.POST.getlist("sign")) - {signature.key for signature in ticked}
    if strange:
        # Items that the page offers to no one but the reader, or that somebody else has signed meanwhile.
        why = _("You do not have permission to sign this item, or the item is no longer open for signature.")
        record_refusal("release:sign_pending_items", why, object=label(release), items=sorted(strange)[:20])
    if strange and not ticked:
        messages.error(request, why)
        return HttpResponseRedirect(request.path)
    if not ticked:
        messages.warning(request, _("No item was selected. Select the items to sign."))
        return HttpResponseRedirect(request.path)
    valid = [signature.form.is_valid() for signature in ticked]
    if not all(valid):
        return _page(request, release, _signatures(request, release), status=400)
    done: list[str] = []
    refused: dict[str, tuple[str, ...]] = {}
    for signature in ticked:
        try:
            with acting(as_proved(request)):
                if not done:
                    _prove_all(ticked)
                _sign(signature)
        except OperationRefused as why:
            if not done and isinstance(why, SignatureRequired):
                why.contents = tuple(contents_of(partial(_sign, one) for one in ticked))
            acts = ((act_on(one.verb, one.row), values_of(one.form)) for one in ticked)
            if not done and (asked := prove_again(request, why, *acts)):
                return asked
            refused[signature.key] = reasons_of(why)
            refusal = labelled(f"{signature.verb.label} – {signature.row}", " ".join(refused[signature.key]))
            messages.error(request, _("Not signed: %(what)s") % {"what": refusal})
        else:
            done.append(f"{signature.verb.label} – {signature.row}")
    if done:
        messages.success(request, _("Signed: %(what)s") % {"what": "; ".join(done)})
    if not refused:
        return HttpResponseRedirect(reverse("release", args=[release.pk]))
    left = _signatures(request, _release(request, release.pk), unread=refused)
    for signature in left:
        signature.refused = refused.get(signature.key, ())
    return _page(request, release, left, status=409)


def _sign(signature: Signature) -> None:
    values = cleaned(signature.form)
    submit(partial(signature.verb.operation, signature.row.pk, **values), values)


def _prove_all(ticked: Iterable[Signature]) -> None:
    """Ask for the second factor that any of them needs before the first is signed; raises SecondFactorRequired."""
    for signature in ticked:
        require_factor(signature.verb.key, [signature.row])


@page
def _show(request: HttpRequest, release: Release) -> HttpResponse:
    return _page(request, release, _signatures(request, release))


def _page(request: HttpRequest, release: Release, signatures: list[Signature], status: int = 200) -> HttpResponse:
    ticked = [signature.key for signature in signatures if signature.form.is_bound]
    text = _("Sign my pending items")
    answer = show(request, "pages/sign/sign.html", text, release=release, signatures=signatures, ticked=ticked)
    answer.status_code = status
    return answer

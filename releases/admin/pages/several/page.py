"""One operation on several rows of a list: the impact on each is shown, and each is done or refused by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit.operation import record_refusal
from audit.refusals import NotPermitted
from environments.admin.rights import Rights, rights_of
from environments.signing import require_factor
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.operations import verb as find, verbs_on
from releases.admin.operations.availability import offered
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import must, reason
from releases.admin.pages.operation import effects
from releases.admin.pages.operation.page import act_on, cleaned, form_for
from releases.admin.pages.operation.several import Act, do_all
from releases.admin.pages.operation.submitted import submit, values_of

# Rows of one page.
MOST = 50
# The result is shown once, one row at most can be meant, or each row waits for another host.
ONE_BY_ONE = frozenset(
    {
        *("account:invite", "calendar_feed:create", "procedure:request_restore", "procedure:withdraw_restore"),
        *("release:refresh_from_git", "target:measure", "configuration:check_connectivity"),
        "notification_channel:send_test",
    }
)


@dataclass
class Row:
    """A row of the list as the page shows it. not_now: why the operation is not possible; shown: what it is about."""

    row: Any
    not_now: str
    shown: list[tuple[str, str]]
    impact: effects.Cost
    refused: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Return its state in words; empty for a row without states."""
        return str(self.row.get_state_display()) if hasattr(self.row, "state") else ""

    @property
    def page(self) -> str:
        """Return the address of its page."""
        return page_of(self.row)


def for_several(verb: Verb) -> bool:
    """Tell whether a verb can be done to several rows of a list: it asks for a reason at most."""
    plain = verb.fields in (None, must, reason) and verb.preview is None and verb.key not in ONE_BY_ONE
    return plain and verb.model is not None and admin.site.is_registered(verb.model)


def offered_on(rights: Rights, model: type[Model]) -> list[Verb]:
    """Return the verbs that a reader may have for several rows of a list."""
    return [verb for verb in verbs_on(model) if for_several(verb) and _has_right(verb, rights)]


def _has_right(verb: Verb, rights: Rights) -> bool:
    return not verb.rights or any(map(rights.anywhere, verb.rights))


def several_url(verb: Verb, query: str) -> str:
    """Return the address of the page for the rows of a list; query: of the list."""
    return reverse("operation-several", args=[verb.noun, verb.name]) + (f"?{query}" if query else "")


@require_http_methods(["GET", "POST"])
def several(request: HttpRequest, noun: str, name: str) -> HttpResponseBase:
    """Show the rows of a list, whose query this address takes, with the impact on each; do it to those ticked."""
    verb = find(noun, name)
    if verb is None or verb.model is None or not for_several(verb):
        raise Http404
    listing, rights = admin.site.get_model_admin(verb.model), rights_of(request)
    if not listing.has_view_permission(request):
        raise PermissionDenied
    if not _has_right(verb, rights):
        why = _("You do not have permission to do this.")
        if request.method == "POST":
            record_refusal(verb.key, why, object="", kind=NotPermitted.kind)
        raise PermissionDenied(why)
    if request.method == "GET":
        try:
            shown = listing.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest()
        return _page(request, verb, list(shown[: MOST + 1]))
    ticked = request.POST.getlist("row")
    rows = list(listing.get_queryset(request).filter(pk__in=filter(str.isdecimal, ticked)))
    if strange := sorted(set(ticked) - {str(row.pk) for row in rows}):
        record_refusal(verb.key, _("This list shows no such row."), object="", items=strange[:20])
        raise Http404
    if not rows or len(rows) > MOST:
        messages.warning(request, _("Select 1 to %(most)d rows.") % {"most": MOST})
        return HttpResponseRedirect(request.get_full_path())
    form = form_for(verb, None, request)
    if not form.is_valid():
        return _page(request, verb, rows, ticked=ticked, form=form, status=400)
    said, values = values_of(form), cleaned(form)
    acts = [Act(str(row.pk), act_on(verb, row), said, partial(_do, verb, row.pk, values), verb.signs) for row in rows]
    refused = do_all(request, acts, partial(require_factor, verb.key, rows))
    if isinstance(refused, HttpResponseBase):
        return refused
    if not refused:
        return HttpResponseRedirect(_list_of(verb))
    left = listing.get_queryset(request).filter(pk__in=refused)
    return _page(request, verb, list(left), refused=refused, status=409)


def _do(verb: Verb, pk: int, values: dict[str, Any]) -> Any:
    return submit(partial(verb.operation, pk, **values), [pk, values])


def _list_of(verb: Verb) -> str:
    assert verb.model is not None
    return reverse(f"admin:{verb.model._meta.app_label}_{verb.model._meta.model_name}_changelist")


def _row(verb: Verb, row: Any, refused: tuple[str, ...]) -> Row:
    shown = verb.shows(row) if verb.shows is not None else []
    return Row(row, verb.not_now(row), shown, effects.of(verb.key, row), refused)


def _page(
    request: HttpRequest,
    verb: Verb,
    rows: list[Any],
    *,
    ticked: Iterable[str] = (),
    form: Any = None,
    refused: dict[str, tuple[str, ...]] | None = None,
    status: int = 200,
) -> HttpResponse:
    rights, why = rights_of(request), refused or {}
    shown = [_row(verb, row, why.get(str(row.pk), ())) for row in rows[:MOST] if offered(verb, rights, row)]
    answer = show(
        request,
        "pages/several/several.html",
        _("%(operation)s: several at once") % {"operation": verb.label},
        verb=verb,
        rows_of=verb.model._meta.verbose_name_plural if verb.model is not None else "",
        form=form if form is not None else form_for(verb, None),
        possible=[row for row in shown if not row.not_now or row.refused],
        impossible=[row for row in shown if row.not_now and not row.refused],
        others=len(rows[:MOST]) - len(shown),
        more=len(rows) > MOST,
        most=MOST,
        ticked=ticked,
        back=_list_of(verb),
    )
    answer.status_code = status
    return answer

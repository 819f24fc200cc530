"""The newest definition beside the system: each difference is an operation that the reader may do here."""

import io
import zipfile
from dataclasses import dataclass
from functools import partial

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _, gettext_lazy
from django.views.decorators.http import require_http_methods

from audit.operation import only_if, record_refusal
from audit.refusals import NotPossible
from environments.admin.rights import Rights, page, rights_of
from environments.language import labelled
from releases.admin.components.change_history import operation_name
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.components.navigation import DEFINITION_READERS
from releases.admin.operations import verb as find
from releases.admin.pages.operation import several
from releases.admin.pages.operation.submitted import submit
from releases.definition import system
from releases.definition.act import DOCUMENTS, Act
from releases.definition.plan import plan, still
from releases.models import Definition
from releases.procedures.document import ProcedureFaults
from releases.queries import definition_files as files
from releases.queries.definition_files import as_files, parse

# Differences of a document: its approval shows all of them.
SHOWN = 40
CHANGED = gettext_lazy("The system or the definition has changed in the meantime. Read the changes again.")


@dataclass(frozen=True)
class Row:
    """An act as the page shows it. wanted: the definition that it is of. offered: the reader may do it now. signs: it
    takes a proof of identity.
    """

    act: Act
    wanted: files.Definition
    label: str
    differences: list[tuple[str, str, str]]
    more: int
    offered: bool
    signs: bool

    @property
    def waiting_at(self) -> str:
        """Return the address of what it waits for."""
        return page_of(self.act.awaits) if self.act.awaits is not None else ""

    @property
    def values(self) -> list[str]:
        """Return a line for each difference that the page shows."""
        return [labelled(what, f"{before} → {after}") for what, before, after in self.differences]

    def __str__(self) -> str:
        return labelled(self.label, self.act.name)


def _rows(definition: Definition | None, rights: Rights) -> list[Row]:
    """Return what the newest definition would change. Raises ProcedureFaults where it does not fit any more."""
    if definition is None:
        return []
    wanted = parse(definition.files)
    return [_row(act, wanted, rights) for act in plan(wanted, system.read())]


def _row(act: Act, wanted: files.Definition, rights: Rights) -> Row:
    verb = find(*act.event.split(":"))
    found = act.differences
    most = SHOWN if act.address[0] in DOCUMENTS else len(found)
    assert verb is not None, act.event
    offered = act.run is not None and verb.has_right(rights, None)
    return Row(act, wanted, operation_name(act.event), found[:most], len(found[most:]), offered, verb.signs)


def _rights(request: HttpRequest) -> Rights:
    rights = rights_of(request)
    if not any(rights.may(permission) for permission in DEFINITION_READERS):
        raise PermissionDenied
    return rights


@page
def _show(request: HttpRequest) -> HttpResponse:
    return _page(request, _rights(request))


def _page(request: HttpRequest, rights: Rights, refused: dict[str, tuple[str, ...]] | None = None) -> HttpResponse:
    versions = list(Definition.objects.defer("files").select_related("author")[:20])
    faults, rows, load = list[str](), list[Row](), find("definition", "load")
    try:
        rows = _rows(Definition.objects.first(), rights)
    except ProcedureFaults as wrong:
        faults = list(map(str, wrong.faults))
    answer = show(
        request,
        "pages/definition/definition.html",
        _("Definition"),
        versions=versions,
        faults=faults,
        rows=[(row, (refused or {}).get(row.act.key, ())) for row in rows],
        offered=any(row.offered for row in rows),
        load=load,
        may_load=load is not None and load.has_right(rights, None),
    )
    answer.status_code = 409 if refused else 200
    return answer


@require_http_methods(["GET", "POST"])
def definition(request: HttpRequest) -> HttpResponseBase:
    """Show the plan, or do what is ticked: one operation each, one proof of identity for all."""
    if request.method == "GET":
        return _show(request)
    rights = _rights(request)
    wanted = set(request.POST.getlist("act"))
    try:
        ticked = [row for row in _rows(Definition.objects.first(), rights) if row.act.key in wanted and row.offered]
    except ProcedureFaults:
        ticked = []
    if len(ticked) < len(wanted):
        why = str(CHANGED)
        record_refusal(
            "definition:make_changes", why, object="", items=sorted(wanted - {row.act.key for row in ticked})[:20]
        )
        messages.error(request, why)
        return HttpResponseRedirect(request.path)
    reason = request.POST.get("reason", "").strip()
    if not ticked or not reason:
        messages.warning(request, _("Select the changes to make, and enter a reason."))
        return HttpResponseRedirect(request.path)
    why = labelled(_("reason"), reason)
    acts = [
        several.Act(row.act.key, str(row), [*row.values, why], partial(_make, row, reason), row.signs) for row in ticked
    ]
    refused = several.do_all(request, acts)
    if isinstance(refused, HttpResponseBase):
        return refused
    return _page(request, rights, refused) if refused else HttpResponseRedirect(request.path)


def _make(row: Row, reason: str) -> None:
    assert row.act.run is not None
    with only_if(partial(_still, row)):
        submit(partial(row.act.run, reason), [row.act.key, reason])


def _still(row: Row) -> None:
    """Refuse an act that would overwrite what somebody has changed since it was shown."""
    if not still(row.act, row.wanted):
        raise NotPossible(str(CHANGED))


@page
def definition_export(request: HttpRequest) -> HttpResponse:
    """Send the system as the files of a definition, in a ZIP file."""
    _rights(request)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(as_files(system.read().definition).items()):
            archive.writestr(name, text)
    answer = HttpResponse(packed.getvalue(), content_type="application/zip")
    answer["Content-Disposition"] = 'attachment; filename="definition.zip"'
    return answer

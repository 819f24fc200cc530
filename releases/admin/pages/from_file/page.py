"""Rows from a file: an operation that makes a row, once for each line of a CSV, after all lines were checked."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django import forms
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit.actor import acting
from audit.operation import record_refusal
from audit.refusals import NotPermitted, OperationRefused, SignatureRequired
from environments.admin.rights import rights_of
from environments.models import Account
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.operations import verb as find
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import LinesField, PairsField
from releases.admin.pages.operation.page import STATUS, as_proved, cleaned, contents_of, form_for, prove_again
from releases.admin.pages.operation.submitted import submit, values_of

MOST, MOST_BYTES = 1000, 1_000_000
TRUE = frozenset({"1", "yes", "true", "x", "on", "はい"})
# What separates several values in one cell.
SEVERAL = ";"


@dataclass
class Line:
    """One line of the file. faults: of its cells, or the refusal of its operation; warns: what a preview says; made:
    the row, once there is one.
    """

    number: int
    cells: dict[str, str]
    form: forms.Form
    faults: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    made: Any = None

    @property
    def page(self) -> str:
        """Return the address of what was made."""
        return page_of(self.made) if self.made is not None else ""

    @property
    def secret(self) -> str:
        """Return what is shown once, such as an invitation link."""
        return str(getattr(self.made, "secret", ""))


class FileForm(forms.Form):
    """The choice of a file; once checked, its text waits in the form for the confirmation."""

    file = forms.FileField(required=False)
    content = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)

    def clean(self) -> dict[str, Any]:
        """Return the text of the file, or of the one that was checked, as `content`."""
        given, found = self.cleaned_data.get("file"), dict(self.cleaned_data)
        if given is not None:
            if given.size > MOST_BYTES:
                raise forms.ValidationError(_("The file is larger than 1 MB."))
            try:
                found["content"] = given.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError(_("The file is not UTF-8 text.")) from None
        if not found.get("content", "").strip():
            raise forms.ValidationError(_("Choose a file."))
        return found


@require_http_methods(["GET", "POST"])
def from_file(request: HttpRequest, noun: str, name: str) -> HttpResponseBase:
    """Show the columns; check a file, line by line; after the confirmation, do the operation for each line."""
    verb = find(noun, name)
    if verb is None or not verb.from_file:
        raise Http404
    if why := verb.refusal(rights_of(request), None):
        if request.method == "POST":
            record_refusal(verb.key, why, object="", kind=NotPermitted.kind)
        return _page(request, verb, refused=why, status=STATUS[NotPermitted.kind])
    if request.method == "GET":
        return _blank(verb) if "columns" in request.GET else _page(request, verb)
    given = FileForm(request.POST, request.FILES)
    if not given.is_valid():
        return _page(request, verb, given=given, status=400)
    content = given.cleaned_data["content"]
    try:
        lines = list(_lines(verb, content))
    except forms.ValidationError as wrong:
        given.add_error(None, wrong)
        return _page(request, verb, given=given, status=400)
    if any(line.faults for line in lines) or "confirmed" not in request.POST:
        status = 400 if any(line.faults for line in lines) else 200
        return _page(request, verb, given=given, lines=lines, content=content, status=status)
    with acting(as_proved(request)):
        for line in lines:
            try:
                line.made = _make(verb, line)
            except OperationRefused as refused:
                # The proof of identity is asked for before anything was made, for all of it.
                if not any(one.made for one in lines) and isinstance(refused, SignatureRequired):
                    refused.contents = tuple(contents_of(partial(_make, verb, one) for one in lines))
                    acts = ((str(verb.label), values_of(one.form)) for one in lines)
                    if asked := prove_again(request, refused, *acts):
                        return asked
                line.faults = [str(reason) for reason in refused.reasons]
    return _page(request, verb, lines=lines, done=True)


def _make(verb: Verb, line: Line) -> Any:
    values = cleaned(line.form)
    return submit(partial(verb.operation, **values), values)


def _lines(verb: Verb, content: str) -> Iterator[Line]:
    """Yield the lines of a CSV with their checked forms. Raises ValidationError for what is no table."""
    try:
        dialect: Any = csv.Sniffer().sniff(content.splitlines()[0], ",\t")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(io.StringIO(content), dialect, strict=True)
    kind = type(form_for(verb, None))
    fields = kind().fields
    try:
        names = [name.strip() for name in next(rows)]
        if unknown := [name for name in names if name not in fields] or _twice(names):
            raise forms.ValidationError(_("Unknown or repeated columns: %(names)s") % {"names": ", ".join(unknown)})
        table = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as wrong:
        raise forms.ValidationError(_("Line %(n)d: %(why)s") % {"n": rows.line_num, "why": wrong}) from None
    if not 1 <= len(table) <= MOST:
        text = _("The file needs 1 to %(most)d lines below the names of its columns.")
        raise forms.ValidationError(text % {"most": MOST})
    for number, row in table:
        if len(row) != len(names):
            raise forms.ValidationError(_("Line %(n)d: another number of cells than columns.") % {"n": number})
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        yield _line(verb, kind, number, cells)


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _line(verb: Verb, kind: type[forms.Form], number: int, cells: dict[str, str]) -> Line:
    data, faults = QueryDict(mutable=True), []
    for name, known in kind().fields.items():
        if name not in cells:  # as the empty form sends it
            initial = known.initial if known.initial not in (None, False) else []
            data.setlist(name, list(initial) if isinstance(initial, list | tuple) else [str(initial)])
            continue
        try:
            data.setlist(name, _values(known, cells[name]))
        except LookupError:
            faults.append(_("%(name)s: there is no “%(value)s”.") % {"name": name, "value": cells[name]})
    form = kind(data)
    found = form.errors.items() if not faults else ()
    faults += [f"{name}: {fault}" if name != "__all__" else str(fault) for name, each in found for fault in each]
    warns = []
    if not faults and verb.preview is not None:
        warns = [f"{name}: {value}" for name, value in verb.previewed(None, cleaned(form)).rows]
    return Line(number, cells, form, faults, warns)


def _values(known: forms.Field, cell: str) -> list[str]:
    """Return what a browser would send for a cell. Raises LookupError for a row that is not there."""
    parts = [part.strip() for part in cell.split(SEVERAL) if part.strip()]
    if isinstance(known, forms.ModelMultipleChoiceField):
        return [_key(known, part) for part in parts]
    if isinstance(known, forms.ModelChoiceField):
        return [_key(known, cell)] if cell else [""]
    if isinstance(known, forms.MultipleChoiceField):
        return parts
    if isinstance(known, forms.BooleanField):
        return ["on"] if cell.casefold() in TRUE else []
    return ["\n".join(parts)] if isinstance(known, LinesField | PairsField) else [cell]


def _key(known: Any, cell: str) -> str:
    """Return the primary key of the row that a cell names by its key, or by its sign-in name."""
    found: Model | None = known.queryset.filter(**{_named_by(known.queryset.model): cell}).first()
    if found is None:
        raise LookupError(cell)
    return str(found.pk)


def _named_by(model: type[Model]) -> str:
    """Return the column by which a file names a row."""
    return "username" if model is Account else "slug"


def _columns(verb: Verb) -> list[dict[str, Any]]:
    """Return the columns of a file: name, label, whether it must be filled, and the values that it may have."""
    found = []
    for name, known in form_for(verb, None).fields.items():
        several = isinstance(known, LinesField | PairsField | forms.MultipleChoiceField)
        values = [str(key) for key, _label in getattr(known, "choices", ()) if key not in ("", None)]
        if isinstance(known, forms.ModelChoiceField):
            rows: QuerySet[Any] = known.queryset  # type: ignore[assignment]
            key = _named_by(rows.model)
            values = list(rows.order_by(key).values_list(key, flat=True)[:20])
        elif isinstance(known, forms.BooleanField):
            values = ["yes"]
        found.append(
            {
                "name": name,
                "label": known.label,
                "required": known.required and not known.initial,
                "several": several,
                "values": values,
            }
        )
    return found


def _blank(verb: Verb) -> HttpResponse:
    """Return a file with the names of the columns alone."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{verb.noun}.csv"'
    csv.writer(answer).writerow(column["name"] for column in _columns(verb))
    return answer


def _page(request: HttpRequest, verb: Verb, *, status: int = 200, **shown: Any) -> HttpResponse:
    shown = {"given": None, "lines": [], "content": "", "refused": "", "done": False, **shown}
    ready = bool(shown["lines"]) and not any(line.faults for line in shown["lines"])
    columns = [] if shown["refused"] else _columns(verb)
    title = _("%(operation)s: from a file") % {"operation": verb.label}
    shown |= {"verb": verb, "columns": columns, "ready": ready, "several": SEVERAL}
    answer = show(request, "pages/from_file/from_file.html", title, **shown)
    answer.status_code = status
    answer["Cache-Control"] = "no-store"
    return answer

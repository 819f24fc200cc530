"""Any audited row at a past moment, reconstructed from its events; and the rows of a model that existed then."""

from operator import itemgetter
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db.models import ForeignKey
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit import as_of
from audit.actor import name_of
from audit.audited_tables import AUDITED_TABLES
from audit.clock import now
from environments.admin.rights import page, require_shown
from environments.times import ZONE
from releases.admin.components.change_history import kind_name, operation_name, shown_value
from releases.admin.components.formatting import show, zoned_input
from releases.admin.components.visibility import visibility_of
from releases.admin.pages.timeline.page import moment_of

STATES = 50


def kinds() -> list[tuple[str, str]]:
    """Return (label, readable name) of the models whose rows the ledger keeps."""
    return sorted(((row.model, kind_name(row.model)) for row in AUDITED_TABLES), key=itemgetter(1))


def fields_of(label: str, values: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return (column, its name, value) of a row at that time; a reference also names the row as it is called today."""
    names = as_of.column_names(label)
    app, name, *relation = label.split(".")
    columns = (
        {}
        if relation or label not in dict(kinds())
        else {str(f.column): f for f in apps.get_model(app, name)._meta.concrete_fields}
    )
    found = []
    for column, value in values.items():
        field = columns.get(column)
        text = shown_value(value)
        if field is not None and field.choices:
            text = str(dict(field.flatchoices).get(value, text))
        elif isinstance(field, ForeignKey) and value is not None:
            row = field.remote_field.model._base_manager.filter(pk=value).first()
            text = f"{value} · {row}" if row is not None else text
        found.append((column, names.get(column, column), text))
    return found


@page
def as_of_page(request: HttpRequest) -> HttpResponse:
    """Show the row `object` (`app.Model:pk`), or the rows of `kind`, as at `at`."""
    known = dict(kinds())
    given = request.GET.get("at", "").strip()
    moment = moment_of(given[:40], end=True) or now()
    label = request.GET.get("object", "").strip()[:120].replace("\x00", "")
    kind = request.GET.get("kind", "").strip()
    model, _colon, pk = label.partition(":")
    if pk or model in known:
        kind = model
    seen = visibility_of(request)
    require_shown(request, label)
    if pk and not seen(label):
        raise PermissionDenied
    context: dict[str, Any] = {"kind": kind, "label": label, "asked": bool(pk or kind in known)}
    if pk:
        life = as_of.life_of(label)
        row = life.at(moment)
        context |= {
            "row": row,
            "fields": fields_of(model, row.values) if row is not None else [],
            "states": [(s, operation_name(s.operation), name_of(s.actor)) for s in life.states[::-1][:STATES]],
            "made_by": (operation_name(row.operation), name_of(row.actor)) if row is not None else None,
        }
    elif kind in known:
        rows = as_of.labels_at(kind, moment)
        seen = visibility_of(request, rows)
        context["rows"] = [one for one in rows if seen(one)]
    return show(
        request,
        "pages/as_of/as_of.html",
        _("As of"),
        kinds=known.items(),
        moment=moment,
        at=zoned_input(moment),
        input_zone=ZONE,
        kind_name=known.get(kind, kind),
        **context,
    )

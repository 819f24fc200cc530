"""procedure:revise: values of the procedure are changed without its document; the next version is a draft."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.times import office_day
from releases.models import Procedure
from releases.operations.procedure.further import faults_of_further
from releases.operations.procedure.put_into_effect import load
from releases.procedures import shared
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.ended import ended_rules
from releases.procedures.load import digest
from releases.procedures.origin import marked
from releases.queries.procedure_types import procedure_types
from releases.sources import versions

# The values that a page changes: part of the document → the columns of its rows.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "thresholds": ("value",),
    "triggers": ("limit", "k", "n"),
    "checklist": ("ja", "en"),
}


@dataclass(frozen=True)
class Cell:
    """One value that a page may change: its name in the form, its row in the document, its column, and the value."""

    name: str
    part: str
    row: Mapping[str, Any]
    column: str
    value: str | int


def cells(content: Mapping[str, Any], parts: Iterable[str]) -> list[Cell]:
    """Return the values of some parts that a page may change, in the document's order; content: JSON of a procedure."""
    return [
        Cell(f"{part}__{number}__{column}", part, row, column, row[column])
        for part in parts
        for number, row in enumerate(content[part])
        for column in COLUMNS[part]
        if row.get(column) is not None and not (part == "triggers" and not row["metric"])
    ]


def next_version(content: Mapping[str, Any]) -> str:
    """Return the first patch version after a procedure's that no stored version has."""
    version = versions.parse(content["version"]).finalize_version()
    while Procedure.objects.filter(key=content.get("key", ""), version=str(version)).exists():
        version = version.bump_patch()
    return str(version)


def revise(
    procedure_id: int,
    *,
    reason: str,
    values: Mapping[str, str | int] | None = None,
    removed: Iterable[tuple[str, int]] = (),
    added: Mapping[str, Mapping[str, Any]] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Procedure:
    """Change values of a version: of the one in effect as a new draft, of a draft in place.

    values: name of a cell → its value. removed: (part, number of the row). added: part → a row. edit: changes the JSON
    of the document by itself. Raises InvalidInput with every fault of the resulting document, and where nothing
    differs.
    """
    base = Procedure.objects.get(pk=procedure_id)
    wanted = copy.deepcopy(base.content)
    values = values or {}
    if edit is not None:
        edit(wanted)
    for cell in cells(base.content, COLUMNS):
        if cell.name in values:
            part, number, column = cell.name.split("__")
            # A number stays a number, a fraction stays text.
            put = values[cell.name]
            wanted[part][int(number)][column] = int(put) if isinstance(cell.value, int) else str(put).strip()
    for part, place in sorted(removed, reverse=True):
        del wanted[part][place]
    for part, row in (added or {}).items():
        wanted[part].append(row)
    if wanted == base.content:
        raise InvalidInput(
            _("Nothing differs from version %(version)s. Change a value first.") % {"version": base.version}
        )
    organisation = Procedure.objects.get(state="in_effect", key="")
    if base.key and not any(wanted.get(name) != base.content.get(name) for name in shared.SECTIONS):
        wanted = shared.refreshed(wanted, organisation.content, places=True)
    if base.state == "in_effect":
        _add_to_history(wanted, reason)
        return load(_checked(wanted), reason=reason)
    content = _checked(wanted)
    with operation("procedure:revise", (Procedure, procedure_id), reason=reason) as op:
        account, draft = access.require("create_procedure"), op.get(Procedure)
        if draft.state != "draft" or draft.digest != base.digest:
            raise NotPossible(_("This version has changed in the meantime, or is no draft any more. Open it again."))
        active = Procedure.objects.filter(state="in_effect", key=base.key).first() or organisation
        content = marked(content, active.document)
        if base.key and (faults := faults_of_further(content, organisation)):
            raise InvalidInput(*faults)
        if faults := ended_rules(content, now(), active.document):
            raise InvalidInput(*faults)
        draft.content, draft.digest = content.model_dump(mode="json"), digest(content)
        draft.writers = sorted({*draft.writers, account.pk})
        op.about(draft, digest=draft.digest)
    return draft


def _checked(wanted: Mapping[str, Any]) -> Content:
    try:
        return Content.checked(wanted, **procedure_types())
    except ProcedureFaults as faults:
        raise InvalidInput(*(str(fault) for fault in faults.faults))


def _add_to_history(wanted: dict[str, Any], reason: str) -> None:
    wanted["version"] = next_version(wanted)
    row = {"date": office_day(now()).isoformat(), "version": wanted["version"]}
    wanted["history"].append(row | in_each_language(wanted, reason))


def in_each_language(content: Mapping[str, Any], words: str) -> dict[str, str]:
    """Return the same words in each language of a document, and in those of the pages."""
    return dict.fromkeys((*content.get("languages", ()), "ja", "en"), words)

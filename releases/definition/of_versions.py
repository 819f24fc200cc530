"""The acts on deployment processes and procedures: a draft, and the request for its approval."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from releases.definition.act import Act, absent, act
from releases.definition.system import System
from releases.models import Definition, DeploymentProcess, Procedure
from releases.operations.deployment_process import create as process_create, put_into_effect as process_effect
from releases.operations.procedure import put_into_effect as procedure_effect
from releases.procedures.document import ProcedureFaults
from releases.procedures.load import digest
from releases.procedures.origin import marked, unmarked
from releases.procedures.process import Process
from releases.queries import definition_files
from releases.queries.procedure_types import procedure_types


def process(system: System, wanted: definition_files.Definition, key: str, text: str) -> Iterator[Act]:
    address, path = ("process", key), f"processes/{key}.toml"
    if why := absent(system, ("application", key)):
        yield act(address, "deployment_process:create", None, {}, None, why)
        return
    application = system.row("application", key)
    followed = application.procedure
    active = system.row("procedure", followed)
    procedure = wanted.procedures.get(followed) or (active.document if active is not None else None)
    if procedure is None:
        yield act(address, "deployment_process:create", None, {}, None, procedure_effect.first_sentence())
        return
    names = {
        name for place in system.rows if place[:2] == ("target", key) for name in (place[3], system.rows[place].group)
    }

    def read(written: str) -> Process:
        return Process.from_toml(written, procedure, names - {""}, **procedure_types())

    try:
        process = read(text)
    except ProcedureFaults as wrong:
        faults = "\n".join(map(str, wrong.faults))
        yield act(address, "deployment_process:create", None, {}, None, faults)
        return
    values = process.model_dump(mode="json")
    active, waiting = system.row(*address), system.awaited.get(address)
    before = active.content if active is not None else None
    if before == values:
        return
    if waiting is None or waiting.content != values:
        yield act(
            address,
            "deployment_process:create",
            before,
            values,
            lambda reason: process_create.create(
                application_id=application.pk,
                content=process,
                reason=reason,
                writers=_writers(
                    path, DeploymentProcess.objects.filter(application=application), lambda d: read(d.files[path])
                ),
            ),
        )
        return
    yield act(
        address,
        "deployment_process:submit",
        before,
        values,
        lambda reason: process_effect.submit(waiting.pk, reason=reason),
        awaits=waiting if waiting.state == "in_review" else None,
    )


def procedure(system: System, wanted: definition_files.Definition, key: str) -> Iterator[Act]:
    address, content = ("procedure", key), wanted.procedures[key]
    active: Procedure | None = system.row(*address)
    base = active or system.row("procedure", "")
    content = marked(content, base.document) if base is not None else content
    values, before = content.model_dump(mode="json"), active.content if active is not None else None
    if before == values:
        return
    known = Procedure.objects.filter(key=key, version=content.version).first()
    if known is None:
        yield act(
            address,
            "procedure:load",
            before,
            values,
            lambda reason: procedure_effect.load(
                content,
                reason=reason,
                writers=_writers(
                    f"procedures/{key}/" if key else "procedure/",
                    Procedure.objects.filter(key=key),
                    lambda d: definition_files.parse(d.files).procedures[key],
                ),
            ),
        )
    elif known.digest != digest(content) or known.state in ("retired", "discarded"):
        why = _("Version %(version)s already exists with different content.") % {"version": content.version}
        yield act(address, "procedure:load", before, values, None, why)
    else:
        yield act(
            address,
            "procedure:submit",
            before,
            values,
            lambda reason: procedure_effect.submit(known.pk, reason=reason),
            why="" if base is not None else procedure_effect.first_sentence(),
            awaits=known if known.state == "in_review" else None,
        )


def _writers(prefix: str, before: QuerySet[Any], made: Callable[[Definition], Any]) -> set[int]:
    """Return who wrote the files of a document in definitions since the one that made its version in effect.

    before: the versions that have been in effect. made: what a definition holds of the document. What people have put
    into effect in between says nothing of the files: then all count since the last version that these made.
    """
    newest = Definition.objects.first()
    if newest is None:
        return set()
    times = (_made_by(row, made) for row in before.exclude(in_effect_at=None).order_by("-in_effect_at"))
    return newest.writers_of(prefix, next(filter(None, times), None))


def _made_by(row: Any, made: Callable[[Definition], Any]) -> datetime | None:
    """Return the time of the definition that a version was made of; None where people made it."""
    newest = Definition.objects.filter(created_at__lte=row.created_at).first()
    try:
        same = newest is not None and unmarked(made(newest).model_dump(mode="json")) == unmarked(row.content)
    except (KeyError, ProcedureFaults):
        return None
    return newest.created_at if newest is not None and same else None

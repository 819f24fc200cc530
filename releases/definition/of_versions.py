"""The acts on deployment processes and procedures: a draft, and the request for its approval."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from releases.definition.act import Act, absent, act
from releases.definition.system import System
from releases.models import Definition, DeploymentProcess, Procedure
from releases.operations.deployment_process import create as process_create, put_into_effect as process_effect
from releases.operations.procedure import put_into_effect as procedure_effect
from releases.procedures.document import ProcedureFaults
from releases.procedures.load import digest
from releases.procedures.origin import marked
from releases.procedures.process import Process
from releases.queries import definition_files
from releases.queries.procedure_types import procedure_types


def process(system: System, wanted: definition_files.Definition, key: str, text: str) -> Iterator[Act]:
    address = ("process", key)
    if why := absent(system, ("application", key)):
        yield act(address, "deployment_process:create", None, {}, None, why)
        return
    application = system.row("application", key)
    followed = application.procedure
    procedure = wanted.procedures.get(followed) or system.row("procedure", followed).document
    names = {
        name for place in system.rows if place[:2] == ("target", key) for name in (place[3], system.rows[place].group)
    }
    try:
        process = Process.from_toml(text, procedure, names - {""}, **procedure_types())
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
                writers=_writers(f"processes/{key}.toml", active),
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
    wrote = _writers(f"procedures/{key}/" if key else "procedure/", active)
    known = Procedure.objects.filter(key=key, version=content.version).first()
    if known is None:
        yield act(
            address,
            "procedure:load",
            before,
            values,
            lambda reason: procedure_effect.load(content, reason=reason, writers=wrote),
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
            awaits=known if known.state == "in_review" else None,
        )


def _writers(prefix: str, active: DeploymentProcess | Procedure | None) -> set[int]:
    """Return who wrote the files of a document in definitions since its version in effect."""
    newest = Definition.objects.first()
    since = active.in_effect_at if active is not None else None
    return newest.writers_of(prefix, since) if newest is not None else set()

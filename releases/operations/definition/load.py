"""definition:load: the next version of the definition, which changes nothing by itself."""

import hashlib
from collections.abc import Collection, Mapping

import rfc8785
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import NothingToDo, operation
from audit.refusals import InvalidInput
from environments import access
from releases.models import Definition, Procedure
from releases.procedures.document import ProcedureFaults
from releases.queries.definition_files import parse


def load(files: Mapping[str, str], *, reason: str, writers: Collection[int] = ()) -> Definition:
    """Store the next version; files that equal the newest version's make none.

    files: path → TOML. Each of its changes is an operation that people do. writers: keys of the accounts that wrote
    what differs, beside the person who loads it; a command has to name them. Raises InvalidInput with every fault.
    """
    organisation = Procedure.objects.of(None)
    try:
        parse(files)
    except ProcedureFaults as wrong:
        raise InvalidInput(*map(str, wrong.faults)) from None
    digest = hashlib.sha256(rfc8785.dumps(dict(files))).hexdigest()
    # One load waits for another one.
    rows = [(Procedure, organisation.pk)] if organisation is not None else []
    with operation("definition:load", *rows, reason=reason) as op:
        author = None if current().kind == "command" else access.require("plan", application=None)
        op.require_reason()
        if author is None and not writers:
            raise InvalidInput(_("Name the accounts of those who wrote the change: they do not approve it."))
        made = Definition.objects.first()
        if made is not None and made.digest == digest:
            raise NothingToDo
        wrote, before = (dict(made.writers), made.files) if made is not None else ({}, {})
        moment = now().isoformat()
        entries = [[pk, moment] for pk in sorted({*writers, *([author.pk] if author is not None else [])})]
        for path in {**before, **files}:
            if before.get(path) != files.get(path):
                wrote[path] = [*wrote.get(path, []), *entries]
        made = Definition.objects.create(
            number=made.number + 1 if made is not None else 1,
            writers=wrote,
            files=dict(files),
            digest=digest,
            reason=reason,
            author=author,
        )
        op.about(made, digest=digest)
    assert made is not None
    return made

"""evidence:hand_in: take in a report or a statement about a commit (R2)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.models import Application, Environment
from releases.models import Evidence
from releases.sources import evidence as reading
from releases.sources import git


def hand_in(
    application_id: int, *, environment_id: int, kind: str, commit: str, content: bytes, test_type: str = ""
) -> Evidence:
    """Read a file and keep it with its values; the same file twice is one evidence. A broken one becomes none."""
    application = Application.objects.filter(pk=application_id).first()
    if application is None:
        raise Invalid(_("There is no such application."))
    try:
        seen = git.commit_facts(Path(application.repository), commit)
        read = reading.read(kind, content)
    except (git.SourceUnavailable, git.NoSuchRevision, reading.BadEvidence) as fault:
        raise Invalid(str(fault))
    if kind == "junit" and not test_type:
        raise Invalid(_("A test report names its test type."))
    with change("evidence:hand_in", (Application, application_id)) as act:
        account = access.require("evidence")
        environment = Environment.objects.get(pk=environment_id)
        found = Evidence.objects.filter(
            application=application,
            environment=environment,
            kind=kind,
            test_type=test_type,
            tree=seen.tree,
            digest=hashlib.sha256(content).hexdigest(),
        ).first()
        made = found or Evidence.objects.create(
            application=application,
            environment=environment,
            kind=kind,
            test_type=test_type,
            commit=seen.commit,
            tree=seen.tree,
            digest=hashlib.sha256(content).hexdigest(),
            values=read.values,
            sentence=read.sentence,
            content=content,
            handed_in_by=account,
        )
        act.about(made, kind=kind, reading=read.sentence, again=found is not None)
    return made

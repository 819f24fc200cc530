"""release:copy: a new draft from an earlier release: the next one, or the same again after it failed."""

import re
from collections.abc import Collection
from datetime import datetime

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import plain
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.models import ChangeEntry, DeploymentProcess, Release
from releases.operations.release.dates import set_window
from releases.operations.release.plan import active_procedure, chosen_for
from releases.queries.step_plan import step_plan
from releases.queries.used_versions import require_free
from releases.sources import versions


def copy(
    release_id: int,
    *,
    version: str,
    title: str = "",
    with_changes: bool = False,
    start: datetime | None = None,
    configuration_ids: Collection[int] = (),
    reason: str = "",
) -> Release:
    """Create a draft with the texts of another release, without its commit, date, configuration, approval or
    signatures.

    title: left empty, the earlier one with the new version in the old one's place. with_changes: also copy its changes.
    start: T-0 of the new one; configuration_ids: the versions that each environment will get.
    """
    source = Release.objects.get(pk=release_id)
    with operation("release:copy", (Application, source.application_id), (Release, release_id), reason=reason) as op:
        author = access.require("plan")
        earlier, application = op.get(Release), op.get(Application)
        try:
            text = versions.normalised(version)
        except versions.BadVersion as fault:
            raise InvalidInput(str(fault))
        require_free(application, text)
        process = DeploymentProcess.current(application.pk)
        content = active_procedure(application).document
        content = process.applied_to(content) if process is not None else content
        chosen = chosen_for(application, configuration_ids) if configuration_ids else {}
        made = Release.objects.create(
            application=application,
            configurations={slug: row.pk for slug, row in chosen.items()},
            version=text,
            kind=earlier.kind,
            criterion=earlier.criterion,
            title=plain(title, _("title")) if title else _retitled(earlier, text),
            author=author,
            copied_from=earlier,
            process=process,
            step_plan=step_plan(content, earlier.kind, earlier.risk),
            on_timeout=content.rollback.decision_request_on_timeout,
            tag=application.tag_format.format(version=text),
            **{name: getattr(earlier, name) for name in Release.APPLICATION_FIELDS},
        )
        # The authors of the texts do not approve them in the copy either.
        made.editors.add(earlier.author, *earlier.editors.all())
        if with_changes:
            for row in earlier.changes.all():
                ChangeEntry.objects.create(
                    release=made, kind=row.kind, text=row.text, ticket=row.ticket, author=row.author
                )
                made.editors.add(row.author)
        if start is not None and made.bound_for_production:
            set_window(made, content, start)
            made.save()
        op.about(made, copied_from=str(earlier))
    return made


def _retitled(earlier: Release, version: str) -> str:
    old = rf"(?<![0-9.]){re.escape(earlier.version)}(?![0-9]|[.+-][0-9A-Za-z])"
    return re.sub(old, version, earlier.title)[: Release._meta.get_field("title").max_length]

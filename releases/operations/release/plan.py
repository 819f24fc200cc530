"""release:plan, release:edit, release:add_change_entry: writing a release while it is a draft."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import plain
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.language import listed
from environments.models import Application, ConfigurationVersion
from releases.models import ChangeEntry, ChecklistItem, DeploymentProcess, FinalCheck, Procedure, Release
from releases.operations.document.review import advance, begin_again
from releases.operations.release.dates import set_window
from releases.procedures.document import Procedure as Content
from releases.queries.step_plan import step_plan
from releases.queries.used_versions import require_free
from releases.sources import versions

EDITABLE = (
    "title",
    "branch",
    "commit",
    "tree",
    "tag",
    "reason",
    "ticket",
    "impact",
    "security_impact",
    "risk",
    "test_plan",
    "rollback_plan",
    "criterion",
    "rollback_pre_authorised",
    "data_loss_limit",
    "rollback_on_failure",
    "on_timeout",
)

# The fields that checklist and documents depend on; the others may change without a new check.
LOOKED_AT = frozenset(EDITABLE) - {
    "ticket",
    "risk",
    "rollback_pre_authorised",
    "data_loss_limit",
    "rollback_on_failure",
    "on_timeout",
    "criterion",
}


def wrong_kind(content: Content, kind: str, criterion: str) -> str:
    """Return why a release cannot be of a type; empty when it can."""
    known = [item.key for item in content.criteria(kind)]
    if kind == Release.Kind.EMERGENCY and not known:
        return _("The release procedure has no emergency releases.")
    if kind == Release.Kind.STANDARD and not known:
        return _("The release procedure has no standard changes.")
    if kind == Release.Kind.EMERGENCY and criterion not in known:
        return _("An emergency release needs one of these criteria: %(keys)s") % {"keys": listed(known)}
    if kind == Release.Kind.STANDARD and criterion not in known:
        return _("Name one of these standard changes: %(keys)s") % {"keys": listed(known)}
    return ""


def plan(
    *,
    application_id: int,
    version: str,
    title: str,
    kind: str = "regular",
    reason: str = "",
    criterion: str = "",
    start: datetime | None = None,
) -> Release:
    """Create a release as a draft; the version is read as SemVer, full-width input included.

    start: T-0, where it is known already; for a release that goes to production.
    """
    with operation("release:plan", (Application, application_id), reason=reason) as op:
        author = access.require("plan")
        application = op.get(Application)
        if application.retired:
            raise NotPossible(_("%(application)s is retired. Reinstate it first.") % {"application": application})
        try:
            text = versions.normalised(version)
        except versions.BadVersion as fault:
            raise InvalidInput(str(fault))
        process = DeploymentProcess.current(application.pk)
        content = active_procedure(application).document
        content = process.applied_to(content) if process is not None else content
        if why := wrong_kind(content, kind, criterion):
            raise InvalidInput(why)
        require_free(application, text)
        release = Release.objects.create(
            application=application,
            version=text,
            kind=kind,
            title=plain(title, _("title")),
            author=author,
            criterion=criterion if content.criteria(kind) else "",
            process=process,
            step_plan=step_plan(content, kind, ""),
            on_timeout=content.rollback.decision_request_on_timeout,
            tag=application.tag_format.format(version=text),
        )
        if start is not None and release.bound_for_production:
            set_window(release, content, start)
            release.save()
        op.about(release, version=text)
    return release


def edit(release_id: int, *, fields: dict[str, Any], reason: str = "") -> Release:
    """Set fields of a draft; clears the checklist signatures that depend on them."""
    with operation("release:edit", (Release, release_id), reason=reason) as op:
        release = op.get(Release)
        account = access.require("plan", instead="prepare")
        require_draft(release)
        strange = sorted(set(fields) - set(EDITABLE))
        if strange:
            raise InvalidInput(_("These fields cannot be edited: %(fields)s") % {"fields": listed(strange)})
        if "title" in fields:
            fields = {**fields, "title": plain(fields["title"], _("title"))}
        changed = [name for name, value in fields.items() if getattr(release, name) != value]
        for name in changed:
            setattr(release, name, fields[name])
        release.editors.add(account)
        if set(changed) & LOOKED_AT:
            clear_signatures(release)
        op.about(release, fields=sorted(changed))
    return release


def add_change(release_id: int, *, kind: str, text: str, ticket: str = "", reason: str = "") -> ChangeEntry:
    """Add a change to a draft."""
    with operation("release:add_change_entry", (Release, release_id), reason=reason) as op:
        (added,) = _add(op.get(Release), [(kind, text, ticket)])
        op.about(added)
    return added


def add_changes(release_id: int, *, entries: Sequence[tuple[str, str, str]]) -> Release:
    """Add several changes (type, text, ticket) to a draft at once, as a person has confirmed them."""
    with operation("release:add_change_entries", (Release, release_id)) as op:
        release = op.get(Release)
        op.about(release, entries=[str(added) for added in _add(release, entries)])
    return release


def _add(release: Release, entries: Sequence[tuple[str, str, str]]) -> list[ChangeEntry]:
    account = access.require("edit_changes", instead="plan")
    require_draft(release)
    if not entries:
        raise InvalidInput(_("Select at least one change."))
    made = []
    for kind, text, ticket in entries:
        row = change_of(kind, text, ticket)
        made.append(ChangeEntry.objects.create(release=release, author=account, **row))
    release.editors.add(account)
    clear_signatures(release)
    return made


def change_of(kind: str, text: str, ticket: str) -> dict[str, str]:
    """Return the columns of a change; raises InvalidInput."""
    if kind not in ChangeEntry.Kind.values:
        raise InvalidInput(_("Unknown change type: %(kind)s") % {"kind": kind})
    return {"kind": kind, "text": plain(text, _("change entry")), "ticket": ticket}


def set_configuration(release_id: int, *, configuration_id: int, reason: str = "") -> Release:
    """Choose which version of the configuration an environment will get."""
    return set_configurations(release_id, configuration_ids=[configuration_id], reason=reason)


def set_configurations(release_id: int, *, configuration_ids: Collection[int], reason: str = "") -> Release:
    """Choose which version of the configuration each of several environments will get: the one of its own."""
    with operation("release:set_configuration", (Release, release_id), reason=reason) as op:
        release = op.get(Release)
        account = access.require("plan", instead="prepare")
        require_draft(release)
        chosen = chosen_for(release.application, configuration_ids)
        wanted = release.configurations | {slug: row.pk for slug, row in chosen.items()}
        if wanted != release.configurations:
            clear_signatures(release, group="technical")
        release.configurations = wanted
        release.editors.add(account)
        op.about(release, configurations={slug: row.number for slug, row in chosen.items()})
    return release


def chosen_for(application: Application, configuration_ids: Collection[int]) -> dict[str, ConfigurationVersion]:
    """Return these versions of an application by the key of their environment; raises InvalidInput."""
    rows = ConfigurationVersion.objects.filter(pk__in=configuration_ids, application=application)
    chosen = {row.environment.slug: row for row in rows.select_related("environment")}
    if not chosen or len(chosen) < len(set(configuration_ids)):
        raise InvalidInput(_("This application does not have the selected configuration."))
    return chosen


def clear_signatures(release: Release, group: str = "") -> None:
    """Clear the signatures of the checklist (or one group of it) inside an open operation, because its content has
    changed.

    Without a group the documents become drafts as well: they describe the changes.
    """
    items = ChecklistItem.objects.filter(release=release, signed_at__isnull=False)
    for item in items.filter(group=group) if group else items:
        item.signed_at, item.signed_by, item.evidence = None, None, ""
        item.save()
    if group:
        return
    for document in release.documents.select_for_update(no_key=True).filter(
        state__in=["draft", "content_checked", "approved", "ready_to_publish"]
    ):
        begin_again(document)
        advance(document)


def clear_final_check(release: Release, moment: Any) -> None:
    """Clear the two signatures of the final check, inside an open operation."""
    for row in FinalCheck.objects.filter(release=release, invalidated_at=None):
        row.invalidated_at = moment
        row.save(update_fields=["invalidated_at"])  # the scheduler may write no other column of it


def active_procedure(application: Application | None = None) -> Procedure:
    """Return the procedure in effect that an application follows (None: the organisation's); raises InvalidInput when
    there is none.
    """
    procedure = Procedure.objects.of(application)
    if procedure is None:
        raise InvalidInput(_("No release procedure is in effect."))
    return procedure


def require_draft(release: Release) -> None:
    """Raise NotPossible for a release whose content is no longer edited."""
    if release.state != "draft":
        raise NotPossible(_("Only a draft can be edited. Reopen the scope first."))

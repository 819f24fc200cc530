"""Several procedures in effect: which applications follow which, and whether they go together."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.refusals import InvalidInput
from environments.language import labelled, listed
from environments.models import Application
from releases.models import DeploymentProcess, Procedure, Release
from releases.procedures import shared
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types


def followers(content: Content) -> QuerySet[Application]:
    """Return the applications that follow a procedure once it is in effect: those that a further one names, and of the
    organisation's all that no further one names.
    """
    if content.key:
        return Application.objects.filter(slug__in=content.applications)
    return Application.objects.filter(procedure="")


def open_releases(procedure: Procedure) -> list[Release]:
    """Return the open releases under an earlier version that could be moved to this one."""
    rows = Release.objects.filter(state__in=Release.FIXED, application__in=followers(procedure.document)).exclude(
        procedure=procedure
    )
    return list(rows.select_related("application", "procedure").order_by("pk"))


def leaving(content: Content) -> QuerySet[Application]:
    """Return the applications that follow the organisation's procedure again, once a further one is in effect."""
    if not content.key:
        return Application.objects.none()
    return Application.objects.filter(procedure=content.key).exclude(slug__in=content.applications)


def faults_of_further(content: Content, organisation: Procedure | None) -> list[str]:
    """Return why a further procedure does not go beside the others, a sentence each."""
    if organisation is None:
        return [_("The release procedure of the organisation takes effect first.")]
    faults = []
    if differ := shared.differing(content.model_dump(mode="json"), organisation.content):
        text = _("These sections are those of the procedure of the organisation. Leave them out: %(sections)s.")
        faults.append(text % {"sections": listed(differ)})
    there = {row.slug: row for row in followers(content)}
    if missing := [key for key in content.applications if key not in there]:
        faults.append(_("These applications do not exist: %(keys)s.") % {"keys": listed(missing)})
    if taken := [row for row in there.values() if row.procedure not in ("", content.key)]:
        text = _("These applications follow another further procedure, which has to leave them out first: %(names)s.")
        faults.append(text % {"names": listed(f"{row} ({row.procedure})" for row in taken)})
    return faults


def faults(content: Content, organisation: Procedure) -> list[str]:
    """Return why a procedure does not go with the processes of its applications, nor with the other procedures."""
    if content.key:
        found = faults_of_further(content, organisation)
        return (
            found
            + _standard_faults(content)
            + _process_faults(content, followers(content))
            + _process_faults(organisation.document, leaving(content))
        )
    found = _standard_faults(content) + _process_faults(content, followers(content))
    common = content.model_dump(mode="json")
    for row in Procedure.objects.filter(state="in_effect").exclude(key=""):
        try:
            Content.checked(shared.refreshed(row.content, common, places=False), **procedure_types())
        except ProcedureFaults as wrong:
            found += [labelled(row, fault) for fault in wrong.faults]
    return found


def _standard_faults(content: Content) -> list[str]:
    """Return why the standard changes of a procedure could apply to nothing."""
    named = {key for change in content.standard_changes() for key in change.applications}
    missing = named.difference(Application.objects.values_list("slug", flat=True))
    text = _("The standard changes name applications that do not exist: %(keys)s.")
    return [text % {"keys": listed(sorted(missing))}] if missing else []


def _process_faults(content: Content, applications: QuerySet[Application]) -> list[str]:
    """Return why a procedure does not go with the deployment processes in effect of applications."""
    found = []
    rows = DeploymentProcess.objects.filter(state="in_effect", application__in=applications)
    for process in rows.select_related("application"):
        try:
            Process.checked(process.content, content, **procedure_types())
        except ProcedureFaults as wrong:
            found += [labelled(process, fault) for fault in wrong.faults]
    return found


def apply_to_applications(content: Content) -> None:
    """Write which applications follow a further procedure, inside the operation that puts it into effect."""
    named = Application.objects.select_for_update(no_key=True).filter(slug__in=content.applications)
    there = {row.slug: row for row in named}
    wrong = sorted(
        key for key in content.applications if key not in there or there[key].procedure not in ("", content.key)
    )
    if wrong:
        raise InvalidInput(_("These applications cannot follow this procedure: %(keys)s.") % {"keys": listed(wrong)})
    for row in leaving(content).select_for_update(no_key=True):
        row.procedure = ""
        row.save()
    for row in there.values():
        if row.procedure != content.key:
            row.procedure = content.key
            row.save()

"""The definition that the system itself amounts to, and the rows behind its resources.

It is made without validation: what people have entered elsewhere is there, whatever a file may say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from audit.clock import now
from environments.models import (
    Application as ApplicationRow,
    ChangeFreeze,
    DeploymentTarget,
    Environment,
    GroupRole as GroupRoleRow,
    Holiday as HolidayRow,
    RequestedChange,
)
from environments.times import office_day
from releases.models import DeploymentProcess, GroupRecipient, Procedure
from releases.procedures.save import as_text
from releases.queries import definition_files as files
from releases.queries.definition_files import Address


@dataclass(frozen=True)
class System:
    """The system's definition, with address → row of what it holds, retired or awaiting somebody or not."""

    definition: files.Definition
    rows: dict[Address, Any]
    awaited: dict[Address, Any]

    def row(self, *address: str) -> Any:
        """Return the row at an address; None where there is none."""
        return self.rows.get(address)


def read() -> System:
    """Read the system: applications and targets in use, versions in effect, days and freezes that are not over."""
    rows: dict[Address, Any] = {("environment", row.slug): row for row in Environment.objects.all()}
    awaited: dict[Address, Any] = {}
    applications = {}
    targets = DeploymentTarget.every.select_related("application", "environment").order_by("application", "pk")
    of = {key: list(some) for key, some in groupby(targets, lambda row: row.application_id)}
    for row in ApplicationRow.objects.order_by("slug"):
        rows["application", row.slug] = row
        for target in of.get(row.pk, ()):
            rows["target", row.slug, target.environment.slug, target.name] = target
        if not row.retired:
            applications[row.slug] = _application(row, (one for one in of.get(row.pk, ()) if not one.retired))
    for change in RequestedChange.objects.filter(decided_at=None, event__startswith="target:").select_related(
        "target__application", "target__environment", "application", "environment"
    ):
        place: Any = change.target or change
        name = change.target.name if change.target is not None else change.after["name"]
        awaited["target", place.application.slug, place.environment.slug, name] = change
    processes = {}
    for process in DeploymentProcess.objects.select_related("application").order_by("pk"):
        address = ("process", process.application.slug)
        if process.state == "in_effect":
            processes[process.application.slug], rows[address] = as_text(process.document), process
        elif process.state in ("draft", "in_review"):
            awaited[address] = process
    procedures = {}
    for procedure in Procedure.objects.filter(state="in_effect").order_by("key"):
        procedures[procedure.key], rows["procedure", procedure.key] = procedure.document, procedure
    definition = files.Definition(
        applications=applications or None,
        processes=processes,
        procedures=procedures,
        calendar=files.Calendar.model_construct(holidays=tuple(_holidays(rows)), freezes=tuple(_freezes(rows))),
        access=files.Access.model_construct(group_roles=tuple(_group_roles(rows, awaited))),
        recipients=files.Recipients.model_construct(recipients=tuple(_recipients(rows))),
    )
    return System(definition, rows, awaited)


def _application(row: ApplicationRow, targets: Iterable[DeploymentTarget]) -> files.Application:
    branch, provider = row.documents_branch, row.forge
    place: dict[str, Any] = {"url": row.forge_url, "project": row.forge_project, "tickets": row.ticket_formats}
    made = files.Target.model_construct
    return files.Application.model_construct(
        **{name: getattr(row, name) for name in ("name", "group", "repository", "tag_format")},
        signers=files.Application.one_form(row.allowed_signers),
        documents=files.Documents.model_construct(branch=branch, folder=row.documents_folder) if branch else None,
        forge=files.Forge.model_construct(provider=provider, **place) if provider else None,
        targets=tuple(
            made(environment=t.environment.slug, name=t.name, group=t.group, root=t.root, options=t.options)
            for t in targets
        ),
    )


def _holidays(rows: dict[Address, Any]) -> Iterable[files.Holiday]:
    for row in HolidayRow.objects.filter(removed_at=None, day__gte=office_day(now())).order_by("day"):
        rows["holiday", row.day.isoformat()] = row
        yield files.Holiday.model_construct(day=row.day, ja=row.name_ja, en=row.name_en)


def _freezes(rows: dict[Address, Any]) -> Iterable[files.Freeze]:
    found = ChangeFreeze.objects.in_effect().filter(from_procedure=False, ends_at__gt=now())
    for row in found.select_related("environment", "application").order_by("starts_at", "pk"):
        values: dict[str, Any] = {"begins": row.starts_at.astimezone(UTC), "ends": row.ends_at.astimezone(UTC)}
        if row.rrule:
            rule, _until, until = row.rrule.partition(";UNTIL=")
            values = {
                "rrule": rule,
                "start": row.start,
                "length_minutes": row.length_minutes,
                "first_day": row.starts_at.astimezone(ZoneInfo(row.environment.zone)).date(),
                "last_day": date.fromisoformat(until[:8]),
            }
        freeze = files.Freeze.model_construct(
            name=row.name,
            environment=row.environment.slug,
            application=row.application.slug if row.application is not None else "",
            full=row.full,
            reason=row.reason,
            **values,
        )
        rows["freeze", *freeze.key] = row
        yield freeze


def _group_roles(rows: dict[Address, Any], awaited: dict[Address, Any]) -> Iterable[files.GroupRole]:
    found = GroupRoleRow.objects.filter(ended_at=None).select_related("environment", "application").order_by("pk")
    for row in found:
        scope = [place.slug if place is not None else "" for place in (row.environment, row.application)]
        address = ("group_role", row.group, row.role_id, *scope, row.application_group)
        if row.confirmed_at is None:
            awaited[address] = row
        elif address not in rows:
            rows[address] = row
            yield files.GroupRole.model_construct(
                group=row.group,
                role=row.role_id,
                environment=scope[0],
                application=scope[1],
                application_group=row.application_group,
                reason=row.reason,
            )


def _recipients(rows: dict[Address, Any]) -> Iterable[files.Recipient]:
    """Yield those with accounts: names and addresses of other people stay out of files."""
    found = GroupRecipient.objects.filter(removed_at=None, group__closed_at=None).exclude(account=None)
    for row in found.select_related("group", "account").order_by("pk"):
        username = row.account.username if row.account is not None else ""
        rows["recipient", row.group.key, username] = row
        yield files.Recipient.model_construct(group=row.group.key, account=username)

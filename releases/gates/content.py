"""The content of an approval request: the canonical document of the planned work, and its digest (RFC 8785,
SHA-256).
"""

import hashlib
from collections.abc import Collection
from typing import Any

import rfc8785

from environments.attach_related import related
from environments.models import Application, ConfigurationVersion, Environment
from environments.models.environment import targets_in
from environments.targets.words import gettext as _
from releases.gates.base import procedure_of
from releases.models import DeployedVersion, NotificationTemplate, Release
from releases.models.waiver import NOTIFICATIONS_SENT_WAIVER
from releases.notifications.templates.events import PRE_RELEASED

# The keys of the document that are about one environment.
PLACE = ("base", "configuration", "target")
# The value for an application without allowed signers.
NO_SIGNERS = hashlib.sha256(b"").hexdigest()


def document(release: Release, environment: Environment) -> dict[str, Any]:
    """Return the document; two that differ in any key are not the same approval.

    environment: the first that the release is planned for in production; the others follow as `later_environments`.
    """
    procedure = release.procedure
    # Waivers of a late approval or final check, and of unreached recipients of the announcement, come while or after
    # these are given, and do not change the approved work.
    milestones = related(release, "milestones")
    afterwards = {f"milestone:{m.key}" for m in milestones if m.guards in ("mark_approved", "complete_final_check")}
    afterwards.add(NOTIFICATIONS_SENT_WAIVER)
    facts = (fact for fact in related(release, "facts") if fact.environment_id is None)
    migrations = next((fact.value for fact in facts if fact.kind == "migrations"), None)
    here = _place(release, environment)
    later = [place for place in release.destinations if place.order > environment.order]
    content = {
        "application": release.application.slug,
        "environment": environment.slug,
        "kind": release.kind,
        "base": here["base"],
        "application_for_release": {name: getattr(release, name) for name in ("title", *Release.APPLICATION_FIELDS)},
        "version": release.version,
        "commit": release.commit,
        "tree": release.tree,
        "tag": release.tag,
        "signers": hashlib.sha256(release.application.allowed_signers.encode()).hexdigest(),
        "changes": [[c.kind, c.text, c.ticket] for c in release.changes.all()],
        "plan": release.step_plan,
        "configuration": here["configuration"],
        "migrations": migrations,
        "target": here["target"],
        "procedure": {"version": procedure.version, "digest": procedure.digest} if procedure is not None else None,
        "window": _window(release, environment),
        "rollback_pre_authorised": release.preauthorisation,
        "on_timeout": release.on_timeout,
        "waivers": sorted(
            [w.gate, w.environment.slug, w.until.isoformat()]
            for w in related(release, "waivers", "environment")
            if w.approved_at is not None and w.revoked_at is None and w.gate not in afterwards
        ),
        # The approvers also approve the external notification of a rollback, for which there is no time later.
        "notification_templates": NotificationTemplate.words_of(PRE_RELEASED),
        "due_immediately": sorted(m.key for m in milestones if m.due_immediately),
    }
    if release.kind == Release.Kind.STANDARD:
        content["standard_change"] = release.criterion
    if (artefact := release.artefact_to_deploy) is not None:
        content["artefact"] = {name: getattr(artefact, name) for name in ("kind", "reference", "digest")}
    if release.process is not None:
        content["process"] = {"number": release.process.number, "digest": release.process.digest}
    if later:
        content["later_environments"] = [
            {"environment": place.slug, "window": _window(release, place), **_place(release, place)} for place in later
        ]
    return content


def document_under_way(release: Release, approved: dict[str, Any], begun: Collection[str]) -> dict[str, Any]:
    """Return the document of a release that has begun in some of its environments (their keys): what was approved of
    these counts as present, because the release itself has changed what runs there.
    """
    present = document(release, release.destinations[0])
    if approved["environment"] in begun:
        present |= {name: approved[name] for name in PLACE}
    before = {row["environment"]: row for row in approved.get("later_environments", ())}
    if "later_environments" in present:
        present["later_environments"] = [
            before.get(row["environment"], row) if row["environment"] in begun else row
            for row in present["later_environments"]
        ]
    return present


def _place(release: Release, environment: Environment) -> dict[str, Any]:
    base = DeployedVersion.established(release.application, environment)
    chosen = {row.pk: row for row in ConfigurationVersion.read(*sorted(release.configurations.values()))}
    configuration = chosen.get(release.configurations.get(environment.slug))
    if configuration is not None and configuration.environment_id != environment.pk:
        configuration = None
    return {
        "base": {
            "version": base.release.version if base is not None and base.release is not None else None,
            "code": base.code if base is not None else None,
            "configuration": base.configuration_digest if base is not None else None,
        },
        "configuration": configuration.present_digest() if configuration is not None else None,
        "target": target_digest(release.application, environment),
    }


def target_digest(application: Application, environment: Environment) -> str | None:
    """Return the digest of an application's deployment targets in an environment and their options; None without a
    target.
    """
    found = targets_in(application, environment)
    if len(found) == 1:
        return digest({name: getattr(found[0], name) for name in ("root", "options")})
    rows = [{name: getattr(row, name) for name in ("name", "group", "root", "options")} for row in found]
    return digest({"targets": rows}) if rows else None


def _window(release: Release, environment: Environment) -> dict[str, Any]:
    opens, closes = release.window_in(environment)
    start = opens.isoformat() if opens else None
    if release.kind == Release.Kind.EMERGENCY:
        # Its approval holds for hours from the moment it is given; no window closes.
        return {"start": start, "validity_hours": procedure_of(release).validity_hours()}
    return {"start": start, "end": closes.isoformat() if closes else None}


def digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical form, hex."""
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def difference(approved: dict[str, Any], present: dict[str, Any]) -> str:
    """Return the first key, in reading order, whose value is no longer what was approved; empty if none."""
    for key, value in present.items():
        if approved.get(key) != value:
            return key
    return next((key for key in approved if key not in present), "")


def clause_labels() -> dict[str, str]:
    """Return key of the document → its words, in the order in which people ask about it."""
    return {
        "application": _("application"),
        "version": _("version"),
        "environment": _("environment"),
        "later_environments": _("later environments"),
        "kind": _("type"),
        "standard_change": _("standard change"),
        "window": _("change window"),
        "start": _("opens"),
        "end": _("closes"),
        "pressed": _("activated at"),
        "activated_by": _("emergency stop activated by"),
        "stopped_because": _("reason for the emergency stop"),
        "stopped_environments": _("stopped environments"),
        "emergency_stop": _("emergency stop"),
        "pauses": _("pauses running deployments"),
        "reason": _("reason"),
        "application_for_release": _("content of the request"),
        "changes": _("changes"),
        "base": _("currently deployed version"),
        "plan": _("step plan"),
        "configuration": _("configuration"),
        "target": _("folder and commands of the deployment target"),
        "migrations": _("migrations"),
        "rollback_pre_authorised": _("pre-authorised rollback"),
        "on_timeout": _("if no one responds"),
        "notification_templates": _("notification templates for external stakeholders on rollback"),
        "due_immediately": _("milestones due immediately (rescheduled)"),
        "waivers": _("waivers"),
        "applications": _("applications that will follow this procedure"),
        "leaving": _("applications that will follow the organisation's procedure again"),
        "moved": _("open releases that will follow the new version"),
        "kept": _("open releases that stay on the current version"),
        "grants": _("access grants that begin to count"),
        "replay": _("replay of the changed triggers"),
        "procedure": _("release procedure"),
        "process": _("deployment process"),
        "tag": _("tag"),
        "signers": _("allowed signers"),
        "commit": _("commit"),
        "tree": _("Git tree hash"),
        "artefact": _("artefact"),
        "digest": _("digest"),
        # Reasons that end an approval request although no key of the document differs yet.
        "approvals": _("too few of its approvals still count"),
        "scope_reopened": _("the scope was reopened"),
        "cancelled": _("the release was cancelled"),
    }

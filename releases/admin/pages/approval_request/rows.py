"""Status and subject of an approval request, for the pages that show one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.one_look import once_a_look
from environments.admin.rights import Rights
from environments.difference import changes
from environments.language import labelled, language, listed, noted
from environments.models import Account, Application, DeploymentTarget, Environment
from environments.models.environment import targets_in
from environments.models.role import role_names
from releases.admin.components.formatting import span, when, word
from releases.admin.components.trigger_replay import replay_lines
from releases.admin.operations import verbs_on
from releases.admin.operations.availability import offered
from releases.admin.pages.deployment_process.page import process_contents
from releases.admin.pages.procedure.difference import differences, effects, seen_by
from releases.gates import authorship, quorum
from releases.gates.content import NO_SIGNERS, clause_labels, document, target_digest
from releases.models import ApprovalRequest, ChangeEntry, Deployment, Procedure, Release
from releases.models.release import preauthorisation_words
from releases.queries.approval_validity import stale
from releases.queries.waivable import waivable_in
from releases.worker.dry_run import dry_run


@dataclass(frozen=True)
class Standing:
    """An open approval request as its page shows it. `why_not`: why the reader's part in it keeps them from deciding.
    given: the reader has decided. decides: the reader can make a decision now.
    """

    missing_words: str
    candidates: list[Account]
    why_not: str
    given: bool
    decides: bool


def standing_of(approval_request: ApprovalRequest, rights: Rights) -> Standing:
    """Return the status of an open approval request, and whether the reader can decide on it."""
    where = quorum.shown(approval_request)
    person = rights.account.person_key if rights.account is not None else ""
    reason = where.kept_out.get(person, "")
    return Standing(
        missing_words=quorum.words_for(where.standing.missing),
        candidates=quorum.candidates(approval_request, where),
        why_not=authorship.refusal(reason) if reason else "",
        given=person in where.spoken,
        decides=any(
            offered(verb, rights, approval_request) and not verb.not_now(approval_request)
            for verb in verbs_on(ApprovalRequest)
            if verb.noun == "approval"
        ),
    )


@once_a_look
def ended_because(approval_request: ApprovalRequest) -> str:
    """Return why the approvals of a request no longer count, naming what changed; empty while they count.

    Approvals of a request whose content already differs do not count either, even before it is invalidated.
    """
    labels = clause_labels()
    match approval_request.state:
        case "used":
            return ""
        case "in_review" | "approved":
            if not (key := stale(approval_request)):
                return ""
            if key == "approvals":
                return quorum.uncounted(approval_request)
            if key != "window":
                return _("Invalidated: “%(field)s” is no longer what was approved.") % {"field": labels.get(key, key)}
            return _("Expired: the validity period is over.")
        case "expired":
            return _("Expired: the validity period is over.")
        case "sent_back":
            return _("The approval request was sent back.")
        case "rejected":
            return _("The approval request was rejected.")
        case "withdrawn":
            return _("The approval request was withdrawn.")
    key = approval_request.invalidated_by
    if key in ("scope_reopened", "cancelled", "approvals"):
        return _("Invalidated: %(what)s.") % {"what": labels[key]} + _changed_since(approval_request)
    if not key:
        return _("Invalidated: the approval request was ended.")
    return _("Invalidated: “%(field)s” is no longer what was approved.") % {"field": labels.get(key, key)}


def _changed_since(approval_request: ApprovalRequest) -> str:
    release, place = approval_request.release, approval_request.environment
    if release is None or place is None or release.state != "draft" or release.procedure is None:
        return ""
    present, labels = document(release, place), clause_labels()
    changed = [labels.get(key, key) for key, value in present.items() if approval_request.document.get(key) != value]
    return " " + _("Changed since then: %(fields)s.") % {"fields": listed(changed)} if changed else ""


@dataclass(frozen=True)
class Clause:
    """One key of the approved content: its words, its value, and the exact value where that is longer."""

    key: str
    label: str
    text: str
    exact: str = ""


def clauses(approval_request: ApprovalRequest, rights: Rights, zone: str = "") -> list[Clause]:
    """Return the approved content in the order in which people ask about it; keys without words stay as they are.

    The commands come first, for readers whose access shows the environment.
    """
    document: dict[str, Any] = approval_request.document
    if rights.applications is not None and approval_request.procedure_id is not None:
        # They name releases of all applications.
        document = {key: value for key, value in document.items() if key not in ("moved", "kept", "replay", "leaving")}
    labels = clause_labels()
    if approval_request.release_id is None:
        labels["base"] = _("version in effect")
    order = {key: index for index, key in enumerate(labels)}
    return (
        _commands(approval_request, rights)
        + _procedure_effects(approval_request, rights)
        + _difference(approval_request)
        + [
            _clause(key, labels.get(key, key), _in_words_of_the_procedure(key, document, zone), zone)
            for key in sorted(document, key=lambda key: (order.get(key, len(order)), key))
        ]
    )


def _commands(approval_request: ApprovalRequest, rights: Rights) -> list[Clause]:
    """Return the commands of a live request, step by step, and what differs from each target's last deployment."""
    release, agreed = approval_request.release, approval_request.document
    if (
        release is None
        or approval_request.state not in approval_request.LIVE
        or agreed.get("plan") != release.step_plan
    ):
        return []
    found = []
    for place in (place for place in release.destinations if rights.about(release).sees(place)):
        targets = targets_in(release.application_id, place)
        if targets and approval_request.content_for(place).get("target") == target_digest(release.application, place):
            found += _commands_in(release, place, targets)
    return found


def _commands_in(release: Release, place: Environment, targets: list[DeploymentTarget]) -> list[Clause]:
    def named(label: str) -> str:
        return noted(label, place) if len(release.destinations) > 1 else label

    lines = []
    for step in dry_run(release, place):
        label = step.label_ja if language() == "ja" else step.label_en
        lines.append(f"{step.ordinal}. {noted(label, step.target) if step.target else label}")
        lines += [f"    {line}" for line in (*step.lines, step.fault) if line]
    found = [Clause("commands", named(_("commands that will run")), "\n".join(lines) or _("none"))]
    said = changed_targets(targets, last_there(release, place))
    if said is not None:
        label = named(_("changed in the deployment target since the last deployment"))
        found.append(Clause("since", label, "\n".join(said) or _("nothing")))
    return found


@once_a_look
def last_there(release: Release, place: Environment) -> Deployment | None:
    """Return the last deployment of the release's application in an environment that was verified."""
    ran = Deployment.objects.filter(
        application=release.application_id, environment=place, state__in=Deployment.VERIFIED
    )
    return ran.select_related("release").order_by("-started_at").first()


def changed_targets(targets: list[DeploymentTarget], last: Deployment | None) -> list[str] | None:
    """Return what differs in deployment targets since a deployment, a line each; None where there was none."""
    if last is None:
        return None
    ran = DeploymentTarget.every.filter(pk__in=last.steps.values("target")).exclude(pk__in=[row.pk for row in targets])
    said = [_("%(target)s is retired") % {"target": row.name} for row in ran]
    for target in targets:
        before = target.history.filter(history_date__lte=last.started_at).order_by("-history_date").first()
        if before is None:
            said.append(_("%(target)s is new") % {"target": target.name})
            continue
        kept, now_ = ({**row.options, "root": row.root, "group": row.group} for row in (before, target))
        own = [f"{key}: {left} → {right}" for key, left, right in changes(kept, now_)]
        said += [labelled(target.name, line) for line in own] if len(targets) > 1 else own
    return said


def _procedure_effects(approval_request: ApprovalRequest, rights: Rights) -> list[Clause]:
    """Return what happens to each release under way that an open request moves to a new version of the procedure."""
    procedure, moved = approval_request.procedure, {pk for pk, _name in approval_request.document.get("moved", ())}
    if procedure is None or not moved or approval_request.state != "in_review":
        return []
    lines = []
    for effect in seen_by(rights, effects(procedure, now())):
        if effect.release.pk in moved:
            parts = [labelled(_("approval that ends"), words) for words in effect.approvals]
            parts += [labelled(name, f"{was} → {will}") for name, was, will in effect.milestones]
            parts += [labelled(_("no longer passed"), f"{gate} – {reason}") for gate, reason in effect.gates]
            lines.append("\n    ".join([str(effect.release), *(parts or [_("Nothing changes for this release.")])]))
    return [Clause("effects", _("effects on releases under way"), "\n".join(lines))]


def _difference(approval_request: ApprovalRequest) -> list[Clause]:
    """Return each row in which a version of the procedure, or of a deployment process, differs from the one in effect
    when it was submitted.
    """
    document: dict[str, Any] = approval_request.document
    if approval_request.process is not None:
        base_number = document["base"].get("version", "")
        label = _("difference from version %(version)s") % {"version": base_number}
        return [
            _rows_that_differ(
                label if base_number else _("difference from the steps of the release procedure"),
                *process_contents(approval_request.process, base_number),
            )
        ]
    if "digest" not in document.get("base", {}):
        return []
    base, version = (
        Procedure.objects.filter(version=row["version"], digest=row["digest"]).first()
        for row in (document["base"], document)
    )
    if base is None or version is None:
        return [Clause("difference", _("difference"), _("unknown: one of the two versions is no longer stored"))]
    label = _("difference from version %(version)s") % {"version": base.version}
    return [_rows_that_differ(label, base.content, version.content)]


def _rows_that_differ(label: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Clause:
    lines = [
        f"{row.section} › {row.place}: {row.left or _('nothing')} → {row.right or _('nothing')}"
        for row in differences(left, right)
    ]
    return Clause("difference", label, "\n".join(lines) or _("none"))


def _in_words_of_the_procedure(key: str, document: dict[str, Any], zone: str) -> Any:
    """Return a value of the content; milestones and waived conditions in the words of the approved procedure."""
    value, reference = document[key], document.get("procedure")
    if key not in ("waivers", "due_immediately") or not value:
        return value
    row = Procedure.objects.filter(**reference).first() if reference else None
    if key == "due_immediately":
        milestones = row.document.milestones if row is not None else ()
        names = {milestone.key: milestone.label(language()) for milestone in milestones}
        return listed(names.get(milestone, milestone) for milestone in value)
    known = waivable_in(row.document) if row is not None else []
    words = {key: ja if language() == "ja" else en for key, ja, en in known}
    return "\n".join(f"{noted(words.get(gate, gate), where)} – {_moment(until, zone)}" for gate, where, until in value)


def _clause(key: str, label: str, value: Any, zone: str) -> Clause:
    exact = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    if value is None and key == "application":  # of a window or of an emergency stop
        return Clause(key, label, _("all applications"))
    if value in (None, "", [], {}):
        return Clause(key, label, "—")
    match key, value:
        case "signers", str() if value == NO_SIGNERS:
            return Clause(key, label, _("none: no allowed signer is registered"), value)
        case "changes", list():
            kinds = dict(ChangeEntry.Kind.choices)
            lines = [labelled(kinds.get(kind, kind), f"{text} {ticket}").strip() for kind, text, ticket in value]
            return Clause(key, label, "\n".join(lines))
        case "application_for_release", dict():
            fields = [field for field in Release._meta.fields if field.name in value]
            said = [(f.verbose_name, dict(f.flatchoices).get(value[f.name], value[f.name])) for f in fields]
            return Clause(key, label, "\n".join(labelled(name, words) for name, words in said))
        case "window", {"start": start, "validity_hours": hours}:
            return Clause(
                key,
                label,
                _("%(start)s, valid for %(n)d hours from then on") % {"start": _moment(start, zone), "n": hours},
            )
        case (("moved" | "kept"), list()):
            return Clause(key, label, "\n".join(name for _pk, name in value))
        case "grants", list():
            names, everywhere = role_names(), _("all environments")
            lines = [labelled(names.get(r, r), noted(who, where or everywhere)) for r, who, where in value]
            return Clause(key, label, "\n".join(lines))
        case "window", {"start": start, "end": end}:
            return Clause(key, label, f"{_moment(start, zone)} – {_moment(end, zone)}")
        case (("start" | "end" | "pressed"), str()):
            return Clause(key, label, _moment(value, zone))
        case "kind", str():
            return Clause(key, label, str(dict(Release.Kind.choices).get(value, value)))
        case "base", {"version": version}:
            return Clause(key, label, str(version or _("nothing")), exact)
        case "process", {"number": number}:
            return Clause(key, label, str(number), exact)
        case "procedure", {"version": version}:
            return Clause(key, label, str(version), exact)
        case "replay", {"monitoring_periods": list()}:
            return Clause(key, label, "\n".join(replay_lines(value, zone)), exact)
        case "rollback_pre_authorised", {"on": _on, "rows": _rows}:
            return Clause(key, label, preauthorisation_words(value))
        case "notification_templates", dict():
            texts = [texts[language()] for texts in value.values() if language() in texts]
            return Clause(key, label, "\n\n".join(f"{text['subject']}\n{text['body']}" for text in texts), exact)
        case "on_timeout", str():
            choices = dict(Release._meta.get_field("on_timeout").flatchoices)
            return Clause(key, label, str(choices.get(value, value)))
        case "plan", dict():
            return Clause(key, label, _plan(value), exact)
        case "later_environments", list():
            return Clause(key, label, "\n".join(_later(row, zone) for row in value), exact)
        case (("waivers" | "due_immediately"), str()):
            return Clause(key, label, value)
        case _, bool():
            return Clause(key, label, _("yes") if value else _("no"))
        case "stopped_environments", list():
            return Clause(key, label, _named(Environment, value), exact)
        case (("applications" | "leaving"), list()):
            return Clause(key, label, _named(Application, value), exact)
        case "migrations", {"files": list()}:
            return Clause(key, label, _migrations(value["files"]), exact)
    text = value if isinstance(value, str) else exact
    return Clause(key, label, text if len(text) <= 100 else text[:60] + "…", text if len(text) > 100 else "")


def _named(model: type[Application | Environment], slugs: list[str]) -> str:
    """Return the names of rows in the order of their slugs; a slug without a row stays as it is."""
    names = {row.slug: str(row) for row in model.objects.filter(slug__in=slugs)}
    return listed(names.get(slug, slug) for slug in slugs)


def _later(row: dict[str, Any], zone: str) -> str:
    """Return one later environment: its name, its window, and the version that runs there now."""
    place = Environment.objects.filter(slug=row["environment"]).first()
    opens = _clause("window", "", row["window"], place.zone if place is not None else zone).text
    base = labelled(_("currently deployed version"), row["base"]["version"] or _("nothing"))
    return labelled(place or row["environment"], f"{opens} · {base}")


def _plan(plan: dict[str, list[dict[str, Any]]]) -> str:
    name = "label_ja" if language() == "ja" else "label_en"
    lines = []
    for phase, words in (
        ("deployment", _("Deployment")),
        ("verification", _("Verification")),
        ("rollback", _("Rollback")),
    ):
        steps = plan.get(phase, [])
        seconds = sum(step["estimate_seconds"] for step in steps)
        names = " → ".join(str(step[name]) for step in steps)
        lines.append(labelled(noted(words, span(seconds)), names))
    return "\n".join(lines)


def _migrations(files: list[dict[str, Any]]) -> str:
    lines = []
    for file in files:
        lines.append(file["path"])
        lines += [f"  {f['line']}: {f['what']} — {word(f['effect'])}" for f in file["findings"]]
    return "\n".join(lines) or _("none")


def _moment(text: str | None, zone: str) -> str:
    return when(datetime.fromisoformat(text), zone) if text else "—"

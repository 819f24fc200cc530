"""The procedure as a document on paper: the chapters of the written one, from the values that releases follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import translation
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import page
from environments.calendar.words import hours_in_words, rule_in_words
from environments.language import labelled, language, listed, noted
from environments.models.role import role_names
from releases.admin.components.formatting import show, span
from releases.admin.operations.procedure_forms import subjects
from releases.admin.pages.procedure.in_words import (
    conditional,
    days,
    has,
    hours_before,
    lasting,
    limited,
    mark,
    measured,
    window,
)
from releases.models import Procedure
from releases.procedures.document import Procedure as Content
from releases.procedures.parts import Document, Environment, Gate, Label
from releases.procedures.save import as_text
from releases.procedures.values import AUTHOR, JUDGED_BY


@dataclass(frozen=True)
class Block:
    """One heading with a list of sentences, or with a table; an asterisk marks a Ringi default."""

    title: str
    items: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Chapter:
    """One chapter with its blocks."""

    title: str
    blocks: list[Block] = field(default_factory=list)


def _words(parts: Iterable[Label]) -> list[str]:
    return [mark(part) for part in parts]


def _documents(rows: Iterable[Document]) -> list[str]:
    """Return documents, each with the signatures that it has of its own."""
    names = role_names() | {AUTHOR: _("author")}
    return [
        " → ".join([mark(row), *(noted(mark(one), names.get(one.role, one.role)) for one in row.signatures)])
        for row in rows
    ]


def chapters(content: Content) -> list[Chapter]:
    """Return the eight chapters in the reader's language."""
    return [
        Chapter(
            _("Introduction"),
            [Block(_("Purpose"), _words(content.purpose)), Block(_("Readers"), _words(content.readers))],
        ),
        Chapter(_("Release planning"), _planning(content)),
        Chapter(_("Release process"), _process(content)),
        Chapter(_("Environment management"), _environments(content)),
        Chapter(_("Version management"), _versions(content)),
        Chapter(_("Release verification"), _verification(content)),
        Chapter(_("Rollback procedure"), _rollback(content)),
        Chapter(
            _("Change history"),
            [
                Block(
                    "",
                    head=[_("date"), _("version"), _("changes")],
                    rows=[(f"{row.date}", row.version, row.label(language())) for row in content.history],
                )
            ],
        ),
    ]


def _standard(content: Content) -> list[Block]:
    """Return the standard changes, each with its limits, and the review that they leave."""
    standard = content.schedule.standard
    if standard is None:
        return []
    review = [mark(standard.review)] if standard.review is not None else []
    return [Block(_("Standard changes"), [*map(limited, standard.changes), *review])]


def _planning(content: Content) -> list[Block]:
    regular, emergency = content.schedule.regular, content.schedule.emergency
    written = (regular.frequency, regular.day, regular.time)
    roles = {row.key: row.label(language()) for row in (*content.roles, *content.team_roles)}
    stakeholders = {
        side: _words(s for s in content.recipient_groups if s.side == side) for side in ("internal", "external")
    }
    groups = {name: _words(c for c in content.checklist if c.group == name) for name in ("requirements", "technical")}
    hours = content.emergency_hours()
    return [
        Block(
            _("Regular release"),
            [window(regular)],
            head=[_("frequency"), _("release day"), _("release hours"), _("zone")] if any(written) else (),
            rows=[(*(mark(part) if part else "—" for part in written), regular.zone)] if any(written) else (),
        ),
        Block(
            _("Emergency release"),
            [*_words(emergency.criteria), mark(emergency.approval)] if emergency is not None else [_("none")],
        ),
        *_standard(content),
        *_freezes(content),
        Block(
            _("Preparation timeline"),
            head=[_("milestone"), _("regular"), _("emergency")],
            rows=[
                (conditional(mark(m), m.when), days(m), hours_before(hours.get(m.key) if has(m, "emergency") else None))
                for m in content.milestones
            ],
        ),
        Block(
            _("Checklist"),
            head=[_("requirements"), _("technical")],
            rows=[("\n".join(groups["requirements"]), "\n".join(groups["technical"]))],
        ),
        Block(
            _("Internal and external stakeholders"),
            head=[_("internal"), _("external")],
            rows=[("\n".join(stakeholders["internal"]), "\n".join(stakeholders["external"]))],
        ),
        Block(_("Channels"), _words(content.channels)),
        Block(_("Documents"), _documents(content.documents)),
        Block(
            _("Approval rules"),
            head=[_("subject"), _("evaluated in"), _("stage"), _("role"), _("persons")],
            rows=[
                (
                    conditional(subjects().get(r.subject, r.subject), r.when),
                    _tiers().get(r.tier, "") or _names(content).get(r.environment, r.environment),
                    str(r.stage),
                    _deciding(roles.get(r.role, r.role), r.decisions),
                    str(r.number or "—"),
                )
                for r in content.approval_rules
                if r.role != "none"
            ],
        ),
        _final_check(content, roles),
    ]


def _final_check(content: Content, roles: Mapping[str, str]) -> Block:
    final = content.final_check
    signers = [labelled(_("roles"), listed(roles.get(key, key) for key in final.signers))] if final.signers else []
    return Block(conditional(_("Final check"), final.when), [*signers, *_words(final.items)])


def _freezes(content: Content) -> list[Block]:
    if not content.freezes:
        return []
    names = _names(content)
    rows = [
        (
            _("%(name)s (full)") % {"name": mark(row)} if row.full else mark(row),
            listed(names.get(key, key) for key in row.environments),
            f"{rule_in_words(row.rrule)} · {hours_in_words(time.fromisoformat(row.start), row.length_minutes)}",
        )
        for row in content.freezes
    ]
    return [Block(_("Change freezes"), head=[_("name"), _("environments"), _("time")], rows=rows)]


def _process(content: Content) -> list[Block]:
    places = {e.key: e.label(language()) for e in content.testing.environments}
    wanted = {(cell.type, cell.test_environment): cell.required for cell in content.testing.matrix}
    return [
        Block(
            _("Branches"),
            head=[_("branch"), _("purpose")],
            rows=[(b.pattern, mark(b)) for b in (*content.branches, *content.workflows)],
        ),
        Block(
            _("Tests"),
            head=[_("test type"), *places.values()],
            rows=[
                (mark(t), *("○" if wanted.get((t.key, place)) else "—" for place in places))
                for t in content.testing.types
            ],
        ),
        Block(
            _("Deployment steps"),
            head=["#", _("step"), _("estimate")],
            rows=_steps((*content.plans.deployment, *content.plans.after_deployment)),
        ),
        Block(_("Verification after the deployment"), _words(c for c in content.checks if c.when == "deployment")),
        Block(
            _("Monitoring after the release"),
            [lasting(content.monitoring.duration_seconds, content.monitoring.duration), *_words(content.metrics)],
        ),
        Block(_("Checks during the monitoring"), _words(c for c in content.checks if c.when == "monitoring")),
    ]


def _steps(steps: Iterable[Any]) -> list[tuple[str, str, str]]:
    return [
        (str(n), conditional(mark(step), step.when), span(step.estimate_seconds)) for n, step in enumerate(steps, 1)
    ]


def _environments(content: Content) -> list[Block]:
    names = _names(content)
    return [
        Block(
            _("Environments"),
            head=[_("environment"), _("purpose"), _("database"), _("cache"), _("storage")],
            rows=[
                (
                    _reached(names[e.key], e),
                    mark(e),
                    *(
                        (mark(e.configuration.database), mark(e.configuration.cache), mark(e.configuration.storage))
                        if e.configuration is not None
                        else ("—", "—", "—")
                    ),
                )
                for e in content.environments
            ],
        ),
        Block(
            _("Access matrix"),
            head=[_("role"), *names.values()],
            rows=[
                (role.label(language()), *(_cell(content, role.key, place) for place in names))
                for role in content.roles
            ],
        ),
    ]


def _reached(name: str, environment: Environment) -> str:
    """Return the name of an environment, with how long after the one before a release may start there."""
    if not environment.after_hours:
        return name
    return noted(name, _("%(hours)d h after the environment before it") % {"hours": environment.after_hours})


def _names(content: Content) -> dict[str, str]:
    return {e.key: e.name_ja if language() == "ja" else e.name_en for e in content.environments}


def _asked_in(content: Content, gate: Gate) -> str:
    """Return the tiers and environments in which a gate is evaluated."""
    tiers, names = _tiers(), _names(content)
    where = listed([*(tiers.get(t, t) for t in gate.tiers), *(names.get(key, key) for key in gate.environments)])
    return noted(where, _("%(hours)d h after the verification") % {"hours": gate.hours}) if gate.hours else where


def _stated(content: Content, gate: Gate) -> str:
    """Return a gate with the releases that it is asked of, and who may upload the statement that it reads."""
    words, roles = conditional(mark(gate), gate.when), {row.key: row.label(language()) for row in content.roles}
    return noted(words, labelled(_("roles"), listed(roles[key] for key in gate.roles))) if gate.roles else words


def _deciding(role: str, decisions: Sequence[str]) -> str:
    """Return a role with what it may decide, where a rule limits that."""
    labels = {"approve": _("Approve"), "send_back": _("Send back"), "reject": _("Reject")}
    return noted(role, listed(labels[key] for key in decisions)) if decisions else role


def _cell(content: Content, role: str, place: str) -> str:
    level = content.level_of(role, place)
    return level.label(language()) if level is not None else "—"


def _versions(content: Content) -> list[Block]:
    versions = content.versions
    return [
        Block(
            _("Meaning of the parts"),
            head=[_("part"), _("meaning of the part")],
            rows=[
                ({"major": _("major"), "minor": _("minor"), "patch": _("patch")}.get(m.key, m.key), mark(m))
                for m in versions.meanings
            ],
        ),
        Block(_("Form"), [f"{versions.example} / {versions.pre_release}"]),
        Block(
            _("Protected branches"),
            head=[_("branch"), _("purpose"), _("requires")],
            rows=[(p.key, mark(p), listed(_words(p.requires))) for p in content.protected_branches],
        ),
        Block(_("Tags"), [noted(versions.tag_format, versions.tag_example), *_words(versions.tag_requirements)]),
    ]


def _verification(content: Content) -> list[Block]:
    limits = {t.key: labelled(mark(t), t.value) for t in content.thresholds}
    return [
        Block(
            _("Gates"),
            head=[_("gate"), _("evaluated in"), _("threshold")],
            rows=[
                (_stated(content, g), _asked_in(content, g), limits.get(JUDGED_BY.get(g.evidence, ""), "—"))
                for g in content.gates
            ],
        ),
        Block(_("Document workflow states"), _words(content.document_states)),
    ]


def _rollback(content: Content) -> list[Block]:
    kinds = {True: _("critical"), False: _("not critical")}
    way = content.rollback
    return [
        Block(
            _("Rollback triggers"),
            head=[_("trigger"), _("type"), _("measurement condition")],
            rows=[(mark(t), kinds[t.critical], measured(t)) for t in content.triggers],
        ),
        Block(_("Manual rollback reasons"), _words(way.reasons)),
        Block(_("Assessment"), _words(way.assessment)),
        Block(_("Communication"), _words(way.communication)),
        Block(
            _("Order of execution"),
            head=["#", _("step"), _("estimate")],
            rows=_steps((*content.plans.before_rollback, *content.plans.rollback, *content.plans.after_rollback)),
        ),
        Block(_("Rollback verification"), _words(c for c in content.checks if c.when == "rollback")),
        Block(_("Monitoring after the rollback"), [lasting(way.monitoring_seconds, way.monitoring_duration)]),
        Block(_("Documents"), _documents(way.documents)),
    ]


def _tiers() -> dict[str, str]:
    return {
        "development": _("development"),
        "staging": _("verification"),
        "production": _("production"),
        "all": _("All"),
    }


@page
def procedure_document(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a version of the procedure as its document; `language` (ja, en) overrides the reader's."""
    row = get_object_or_404(Procedure, pk=pk)
    asked = request.GET.get("language", "")
    with translation.override(asked if asked in ("ja", "en") else language()):
        content = row.document
        return show(
            request,
            "pages/procedure/print_procedure.html",
            content.name.label(language()),
            procedure=row,
            chapters=chapters(content),
            other="en" if language() == "ja" else "ja",
            printed_at=now(),
        )


@page
def procedure_download(request: HttpRequest, pk: int) -> HttpResponse:
    """Return a version as one TOML text, which `procedure load` and the page of a new version take."""
    row = get_object_or_404(Procedure, pk=pk)
    name = "-".join(filter(None, ("procedure", row.key, row.version)))
    headers = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
    return HttpResponse(as_text(row.document), content_type="application/toml; charset=utf-8", headers=headers)

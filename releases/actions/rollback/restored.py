"""What ends the way back, inside the step's own door: the proof by digest, the pointer, the report's first text."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from audit.change import Act
from audit.clock import now
from environments import calendar
from releases.actions.deployment.verified import begin_watch, return_to_base
from releases.models import Deployment, Document, Release, Rollback, Sample, Step


def digests(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Return the three digests before the run (from its backup), under the new version, and after the way back."""
    backup: dict[str, Any] = next((s.result for s in deployment.steps.filter(kind="backup", state="done")), {})
    base = deployment.base.get("in_force", {})
    return {
        "before": {
            "code": base.get("tree", ""),
            "configuration": backup.get("configuration", ""),
            "data": backup.get("data", ""),
        },
        "under": deployment.measured.get("verify", {}),
        "after": deployment.measured.get("back", {}),
    }


def restored(act: Act, rollback: Rollback, deployment: Deployment, release: Release) -> Step | None:
    """Compare what was measured with what was before; equal: everything is back. Unequal: the way back faltered."""
    found = digests(deployment)
    rollback.facts = {**rollback.facts, "digests": found}
    different = [key for key in ("code", "configuration", "data") if found["before"][key] != found["after"].get(key)]
    if different:
        rollback.falter()
        deployment.falter()
        act.tell("rollback:falter")
        rollback.facts["different"] = different
        deployment.blockers = [_("Not restored: %(what)s") % {"what": ", ".join(different)}]
        return None
    rollback.verify()
    act.tell("rollback:restored")
    rollback.restored_at = now()
    deployment.restored()
    deployment.ended_at = now()
    production = deployment.environment.tier == "production"  # no other run moves a release
    if production and release.state in ("releasing", "monitoring", "completed"):
        release.roll_back()
    return_to_base(deployment, found["after"])
    draft_documents(rollback)
    return deployment.steps.filter(phase="back_verify", state="pending").order_by("ordinal").first()


def back_checked(rollback: Rollback, deployment: Deployment) -> None:
    """The checks after the way back hold: watch again, or, where nothing was in force, go on to the report."""
    if deployment.base.get("in_force"):
        rollback.watch()
        begin_watch(deployment, rollback)
    else:
        rollback.report()


def draft_documents(rollback: Rollback) -> None:
    """Draft report, cause and prevention from the facts (B6)."""
    deployment = rollback.deployment
    zone, language = deployment.environment.zone, get_language() or "ja"
    procedure = deployment.release.procedure
    content = procedure.document if procedure is not None else None
    named = [*content.triggers, *content.rollback.grounds, *content.metrics] if content is not None else []
    words = {entry.key: entry.label(language) for entry in named}

    def when(at: datetime | None) -> str:
        return calendar.print_time(at, zone, language) if at is not None else "—"

    rows = ", ".join(f"{table}: {count}" for table, count in rollback.facts.get("rows", {}).items()) or "—"
    lines = [
        _("Rollback report: %(what)s") % {"what": deployment},
        "",
        _("Cause: %(cause)s") % {"cause": words.get(rollback.cause, rollback.cause)},
        _("Raised: %(at)s by %(who)s") % {"at": when(rollback.raised_at), "who": rollback.raised_by or _("the watch")},
        _("Authorised: %(who)s") % {"who": rollback.authorised_by or _("beforehand, in the consent")},
        _("Began: %(at)s") % {"at": when(rollback.began_at)},
        _("Restored: %(at)s") % {"at": when(rollback.restored_at)},
        _("Rows written since the backup: %(rows)s") % {"rows": rows},
        "",
        _("Digests"),
    ]
    parts = {"code": _("code"), "configuration": _("configuration"), "data": _("data")}
    moments = {"before": _("before"), "under": _("under the new version"), "after": _("after the way back")}
    for moment, value in rollback.facts.get("digests", {}).items():
        lines.append(f"- {moments.get(moment, moment)}")
        lines += [f"  - {parts.get(part, part)}: {digest or '—'}" for part, digest in value.items()]
    lines += ["", _("Timeline")]
    place = ZoneInfo(zone)
    for step in deployment.steps.exclude(started_at=None):
        began = f"{step.started_at.astimezone(place):%H:%M:%S}" if step.started_at is not None else "—"
        lines.append(f"- {began} {step} [{step.get_phase_display()}] {step.get_state_display()}")
    lines += ["", _("Metrics before the alarm")]
    samples = Sample.objects.filter(watch__deployment=deployment, at__lte=rollback.raised_at).order_by("-pk")[:5]
    for sample in reversed(list(samples)):
        known = {name: entry.get("value") for name, entry in sample.values.items()}
        said = ", ".join(f"{words.get(n, n)} {v:.3g}" for n, v in known.items() if v is not None) or _("no data")
        lines.append(f"- {sample.at.astimezone(place):%H:%M:%S} {said}")
    texts = {
        Document.Kind.REPORT: "\n".join(lines),
        Document.Kind.CAUSE: _("Facts so far: %(note)s") % {"note": rollback.note},
        Document.Kind.PREVENTION: _("To be written from the cause."),
    }
    for kind, body in texts.items():
        Document.objects.get_or_create(rollback=rollback, kind=kind, defaults={"body": body})

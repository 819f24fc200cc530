"""The drafts of report, cause and prevention, made from the records (B6); people edit them from there."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from environments.language import labelled
from environments.targets.words import in_words
from environments.times import print_time
from releases.models import Deployment, Document, Measurement, Rollback, Step, StepOutput
from releases.queries.manual_completion import statement, troubles
from releases.queries.rollback_authorisation import authorisation
from releases.queries.rollback_causes import cause_of, raiser_of, seen_of, words_of

SAMPLES, LOG_CHUNKS, LOG_LINES, LONGEST_LINE = 10, 50, 20, 300


def drafts(rollback: Rollback) -> dict[str, str]:
    """Return type of document → its draft; in the language of the installation, as its documents are."""
    with translation.override(settings.LANGUAGE_CODE):
        return {
            Document.Kind.REPORT: "\n".join(_report(rollback)),
            Document.Kind.CAUSE: "\n".join(_cause(rollback)),
            Document.Kind.PREVENTION: "\n".join(_prevention(rollback)),
        }


def _report(rollback: Rollback) -> Iterator[str]:
    deployment = rollback.deployment
    yield _("Rollback report: %(what)s") % {"what": deployment}
    yield ""
    yield _("Cause: %(cause)s") % {"cause": cause_of(rollback)}
    yield _("Observation: %(note)s") % {"note": seen_of(rollback) or "—"}
    for label, text in ((_("impact"), rollback.impact), (_("method"), rollback.method), (_("timing"), rollback.timing)):
        yield _("%(label)s: %(text)s") % {"label": label, "text": text or _("still to be written")}
    if rollback.restored_at is not None:
        seconds = int((rollback.restored_at - rollback.outage_began_at).total_seconds())
        yield _("Time to restore, from the beginning of the outage: %(time)s") % {"time": timedelta(seconds=seconds)}
    yield ""
    yield from _section(_("Timeline"), _timeline(rollback))
    yield from _section(_("Rows written since the backup"), _rows(rollback))
    yield from _section(_("Digests"), _digests(rollback))
    yield from _section(_("Metrics before the alarm"), _metrics(rollback))
    yield from _section(_("Log excerpt"), _log(deployment))


def _cause(rollback: Rollback) -> Iterator[str]:
    yield _("Cause: %(cause)s") % {"cause": cause_of(rollback)}
    yield _("Facts so far: %(note)s") % {"note": seen_of(rollback) or "—"}
    yield ""
    yield from _section(_("Steps that did not succeed"), _failures(rollback.deployment))
    yield from _section(_("Metrics before the alarm"), _metrics(rollback))
    yield from _section(_("Log excerpt"), _log(rollback.deployment))
    changes = (
        f"[{c.get_kind_display()}] {c.text} {c.ticket}".rstrip() for c in rollback.deployment.release.changes.all()
    )
    yield from _section(_("Changes of this release"), changes)
    yield _("To be written: why it happened, and why it was not noticed before the release.")


def _prevention(rollback: Rollback) -> Iterator[str]:
    yield _("To be written from the cause: what is done, by whom, until when.")
    yield ""
    checks = rollback.deployment.steps.filter(step_type="check", phase="verification")
    passed = [f"{step} ({in_words(step.result.get('value', ''))})" for step in checks if step.state == "succeeded"]
    yield from _section(_("Checks that had passed before the alarm"), passed)
    evidence = rollback.deployment.release.application.evidence.filter(tree=rollback.deployment.release.tree)
    yield from _section(_("Uploaded evidence"), (str(row) for row in evidence.order_by("pk")[:20]))


def _section(title: str, lines: Any) -> Iterator[str]:
    yield title
    found = list(lines)
    yield from (f"- {line}" for line in found or [_("none")])
    yield ""


def _words(rollback: Rollback) -> dict[str, str]:
    """Return the procedure's words for causes and metrics, by key."""
    content = rollback.deployment.content
    language = translation.get_language() or "ja"
    return words_of(content) | {metric.key: metric.label(language) for metric in content.metrics}


def _digests(rollback: Rollback) -> Iterator[str]:
    parts = {"code": _("code"), "configuration": _("configuration"), "data": _("data")}
    moments = {"before": _("before"), "under": _("under the new version"), "after": _("after the rollback")}
    moments["expected"] = _("expected after the rollback")
    for moment, value in rollback.facts.get("digests", {}).items():
        found = ", ".join(f"{parts.get(part, part)} {digest or '—'}" for part, digest in value.items())
        yield labelled(moments.get(moment, moment), found)


def _timeline(rollback: Rollback) -> list[str]:
    """Return the events in order of time: the deployment's steps, the alarm, the decisions, each with its actor."""
    deployment = rollback.deployment
    steps, let = list(deployment.steps.exclude(started_at=None)), authorisation(rollback)
    moments: list[tuple[datetime | None, str]] = [
        (
            deployment.started_at,
            _("Deployment started, scheduled by %(who)s") % {"who": deployment.scheduled_by or "—"},
        ),
        (deployment.verified_at, _("Verified by %(who)s") % {"who": deployment.verified_by or "—"}),
        (rollback.outage_began_at, _("Outage begins: first failed measurement or step, or the alarm")),
        (rollback.raised_at, _("Alarm raised by %(who)s") % {"who": raiser_of(rollback)}),
        *([(let.at or rollback.started_at, _("Rollback, authorised by %(who)s") % {"who": let.words})] if let else []),
        (rollback.restored_at, _("The previous state is restored and proved by digest")),
    ]
    for key, text in (
        ("agreed", _("Late rollback approved: %(who)s")),
        ("manual_completions", _("Completed manually, as stated: %(who)s")),
    ):
        moments += [
            (datetime.fromisoformat(e["at"]), text % {"who": statement(e)}) for e in rollback.facts.get(key, [])
        ]
    for entry in rollback.facts.get("manual_completions", []):
        moments += [(datetime.fromisoformat(entry["at"]), f"⚠ {said}") for said in troubles(entry)]
    for step in steps:
        said = f"{step} [{step.get_phase_display()}] {step.get_state_display()}"
        moments.append((step.started_at, said + (f" ✍ {step.decision['name']}" if step.decision else "")))
    zone, language = deployment.environment.zone, translation.get_language() or "ja"
    known = sorted(((at, text) for at, text in moments if at is not None), key=lambda entry: entry[0])
    return [f"{print_time(at, zone, language)} {text}" for at, text in known]


def _rows(rollback: Rollback) -> list[str]:
    if rollback.facts.get("rows_fault"):
        return [_("not known: %(why)s") % {"why": rollback.facts["rows_fault"]}]
    kept: dict[str, Any] = next(
        (s.result for s in rollback.deployment.steps.filter(step_type="database_update", phase="rollback")), {}
    )
    rows = kept.get("written_since") or rollback.facts.get("rows", {})
    found = [f"{table}: {count}" for table, count in sorted(rows.items())]
    return found + (
        [_("kept on the deployment target in %(path)s") % {"path": kept["dump"]}] if kept.get("dump") else []
    )


def _metrics(rollback: Rollback) -> list[str]:
    zone, words = rollback.deployment.environment.zone, _words(rollback)
    language = translation.get_language() or "ja"
    measurements = Measurement.objects.filter(
        period__deployment=rollback.deployment, at__lte=rollback.raised_at
    ).order_by("-pk")
    found = []
    for measurement in reversed(measurements[:SAMPLES]):
        known = {name: entry.get("value") for name, entry in sorted(measurement.values.items())}
        said = ", ".join(f"{words.get(n, n)} {v:.3g}" for n, v in known.items() if v is not None) or _("no data")
        found.append(f"{print_time(measurement.at, zone, language, exact=True)} {said}")
    return found


def _failures(deployment: Deployment) -> list[str]:
    wrong = deployment.steps.filter(state__in=["failed", "outcome_unknown", "stopped"]).order_by("ordinal")
    return [f"{step} [{step.get_phase_display()}] {in_words(step.failure)}"[:LONGEST_LINE] for step in wrong]


def _log(deployment: Deployment) -> list[str]:
    """Return the last lines of the step that failed, or of the last check of the log; both are masked already."""
    outward = deployment.steps.filter(phase__in=["deployment", "verification"]).exclude(started_at=None)
    step: Step | None = outward.filter(state__in=["failed", "outcome_unknown", "stopped"]).order_by("ordinal").last()
    step = step or outward.filter(step_type="check", parameters__check="log").order_by("ordinal").last()
    if step is None:
        return []
    chunks = StepOutput.objects.filter(step=step).order_by("-pk").values_list("text", flat=True)[:LOG_CHUNKS]
    text = in_words("".join(reversed(chunks)))
    lines = [line[:LONGEST_LINE] for line in text.splitlines() if line.strip()]
    return [f"{step}:", *lines[-LOG_LINES:]] if lines else []

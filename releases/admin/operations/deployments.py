"""Verbs on a deployment, its steps, its monitoring and its rollback."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from environments.language import listed
from environments.models import Account, Environment
from environments.targets.words import in_words
from releases.admin.operations.approval import bound_to
from releases.admin.operations.base import Verb, ZonedDateTimeField, environment_of, must, reason, text, zone_of
from releases.models import Deployment, MonitoringPeriod, PollFailure, Rollback, Step
from releases.operations.deployment import decide, resolve, schedule, verify
from releases.operations.monitoring import end
from releases.operations.poll import retry_limit
from releases.operations.rollback import (
    communicate,
    complete_manually as by_hand,
    confirm_late as late,
    decide as rollbacks,
)
from releases.operations.rollback.start import retry
from releases.operations.step import confirm_manual, resume
from releases.queries import rollback_candidates
from releases.queries.rollback_causes import OWN, REHEARSAL
from releases.queries.rollback_communication import communications
from releases.queries.step_plan import manual_checks

Fields = Mapping[str, forms.Field]


def _at(instance: Any) -> Fields:
    return {
        "at": ZonedDateTimeField(label=_("scheduled start (empty: now)"), zone=zone_of(instance), required=False),
        "reason": text(_("reason"), required=False),
    }


def _confirmations(instance: Any) -> Fields:
    choices = []
    if isinstance(instance, Deployment):
        content = instance.procedure.document
        choices = [(c.key, c.label(get_language() or "ja")) for c in manual_checks(content, "deployment")]
    return {
        "confirmed": forms.MultipleChoiceField(
            label=_("checked items"), choices=choices, required=False, widget=forms.CheckboxSelectMultiple()
        ),
        "reason": text(_("reason"), required=False),
    }


def _verify(pk: int, *, confirmed: list[str], reason: str) -> Deployment:
    return verify.verify(pk, confirmed=tuple(confirmed), reason=reason)


def _resolve(instance: Any) -> Fields:
    return {
        "how": forms.ChoiceField(
            label=_("state of the deployment target"),
            choices=[("previous", _("previous state")), ("planned", _("planned state")), ("unknown", _("unknown"))],
        ),
        "reason": text(_("reason")),
    }


def _cause(instance: Any) -> Fields:
    choices = []
    if isinstance(instance, Deployment):
        language = get_language() or "ja"
        content = instance.procedure.document
        choices = [(t.key, t.label(language)) for t in content.triggers]
        choices += [(g.key, g.label(language)) for g in content.rollback.reasons]
        if instance.environment.tier != "production":
            choices.append((REHEARSAL, str(OWN[REHEARSAL])))
    return {
        "cause": forms.ChoiceField(label=_("cause"), choices=list(dict(choices).items())),
        "note": text(_("observation"), rows=3),
    }


def _assessment(instance: Any) -> Fields:
    return {
        "impact": text(_("impact"), rows=3),
        "method": text(_("method"), rows=3),
        "timing": text(_("timing"), rows=2),
    }


def _communication(instance: Any) -> Fields:
    rows = communications(instance) if isinstance(instance, Rollback) else []
    choices = [(row.key, row.label) for row in rows if row.at is None]
    stated = text(_("notification method without Ringi"), required=False, rows=2)
    stated.help_text = _("Leave it empty to have Ringi send the notifications.")
    return {
        "items": forms.MultipleChoiceField(
            label=_("items to communicate"),
            choices=choices,
            initial=[key for key, _label in choices],
            widget=forms.CheckboxSelectMultiple,
        ),
        "stated": stated,
    }


def _result(instance: Any) -> Fields:
    return {
        "result": forms.ChoiceField(label=_("result"), choices=[("passed", _("passed"))]),
        "reason": text(_("reason")),
    }


def _by_hand(instance: Any) -> Fields:
    return {
        "maintenance": forms.ChoiceField(
            label=_("current maintenance mode of the target"),
            choices=[("", "—"), ("off", _("off")), ("on", _("on"))],
            help_text=_("Ringi also measures the target, if the target is reachable, and records both values."),
        ),
        "service": forms.ChoiceField(
            label=_("current state of the service"),
            choices=[
                ("", "—"),
                ("running", _("runs")),
                ("stopped", _("does not run")),
                ("none", _("the target has none")),
            ],
        ),
        "reason": text(_("work done")),
        "accepted": forms.BooleanField(
            label=_("I know that maintenance mode is still on or the service does not run, and I accept this"),
            required=False,
        ),
    }


def _note(instance: Any) -> Fields:
    return {"reason": text(_("work done"))}


def _assessed(instance: Any) -> list[tuple[str, str]]:
    """Return the assessed alarm and the rows that a rollback would discard, for the person who authorises it."""
    names = ("cause", "note", "impact", "method", "timing")
    return [
        *((str(Rollback._meta.get_field(name).verbose_name), getattr(instance, name)) for name in names),  # type: ignore[union-attr]
        (_now("rows written since the backup"), rows_in_words(instance.facts)),
    ]


def _go(instance: Any) -> Fields:
    shown = late.digest_of(instance) if isinstance(instance, Rollback) else ""
    return {**bound_to(shown), **reason(instance)}


def rows_in_words(facts: Mapping[str, Any]) -> str:
    """Return the rows that a rollback would discard, per table."""
    if "rows_total" not in facts:
        return _now("still being counted")
    if facts.get("rows_fault"):
        return _now("not known: %(why)s") % {"why": facts["rows_fault"]}
    rows = listed(f"{table}: {rows}" for table, rows in sorted(facts.get("rows", {}).items())) or _now("none")
    return rows if facts.get("rows_exact", True) else _now("at most %(rows)s") % {"rows": rows}


def _of_its_deployment(ask: Callable[[Account, Deployment], str]) -> Callable[[Account, Any], str]:
    """Return the check of a step or a monitoring period: the operation's check of its deployment."""
    return lambda account, row: ask(account, row.deployment)


def _failed(instance: Any) -> list[tuple[str, str]]:
    return [(str(instance), in_words(instance.error))]


def _resumes(instance: Any) -> list[tuple[str, Environment | None]]:
    """Return the right to resume a poll: `decide` in an environment, whose deployment waits; else `prepare`."""
    place = environment_of(instance)
    return [("decide", place)] if place is not None else [("prepare", None)]


def _still_tried(instance: Any) -> str:
    return "" if instance.suspended_at is not None else _now("Ringi is still retrying this automatically.")


VERBS: tuple[Verb, ...] = (
    Verb("deployment", "schedule", _("Schedule deployment"), schedule.schedule, ("schedule", "start"), Deployment, _at, edge="schedule", signs=True, why_not_permitted=schedule.why_not_permitted),
    Verb("deployment", "cancel", _("Cancel deployment"), schedule.cancel, ("cancel", "stop"), Deployment, must, edge="cancel", danger=True, everywhere=True),
    Verb("deployment", "verify", _("Verify deployment"), _verify, ("verify",), Deployment, _confirmations, edge="start_monitoring", signs=True, why_not_permitted=verify.why_not_permitted),
    Verb("deployment", "fail", _("Mark as failed"), decide.fail, ("decide",), Deployment, must, states=frozenset({"awaiting_decision"}), signs=True, danger=True, why_not_permitted=decide.why_not_permitted),
    Verb("deployment", "stop", _("Stop deployment"), decide.stop, ("stop",), Deployment, must, edge="stop", danger=True),
    Verb("deployment", "resolve", _("Resolve deployment"), resolve.resolve, ("resolve",), Deployment, _resolve, edge="resolve", signs=True, why_not_permitted=resolve.why_not_permitted),
    Verb("step", "retry", _("Retry step"), resume.retry, ("decide",), Step, must, edge="retry", signs=True, why_not_permitted=_of_its_deployment(decide.why_not_permitted)),
    Verb("step", "start_anyway", _("Start anyway"), resume.start_anyway, ("decide",), Step, must, edge="start_anyway", signs=True, danger=True, why_not_permitted=_of_its_deployment(decide.why_not_permitted)),
    Verb("step", "skip", _("Skip step"), resume.skip, ("decide",), Step, must, edge="skip", signs=True, why_not_permitted=_of_its_deployment(decide.why_not_permitted)),
    Verb("step", "mark_succeeded", _("Mark as succeeded"), resume.mark_succeeded, ("decide",), Step, must, edge="mark_succeeded", signs=True, why_not_permitted=_of_its_deployment(decide.why_not_permitted)),
    Verb("step", "assign", _("Claim step"), confirm_manual.assign, (), Step, reason, states=frozenset({"outcome_unknown"}), why_not_permitted=confirm_manual.not_named),
    Verb("step", "confirm_manual", _("Confirm manual step"), confirm_manual.confirm_manual, (), Step, _note, edge="mark_succeeded", signs=True, why_not_permitted=confirm_manual.why_not_permitted),
    Verb("rollback", "raise", _("Raise rollback"), rollbacks.raise_, ("raise_rollback", "roll_back"), Deployment, _cause, states=frozenset(rollback_candidates.FROM), danger=True),
    Verb("rollback", "assess", _("Assess rollback"), rollbacks.assess, ("assess_rollback",), Rollback, _assessment, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}), everywhere=True),
    Verb("rollback", "communicate", _("Communicate rollback"), communicate.communicate, ("assess_rollback", "authorise_rollback"), Rollback, _communication, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}), everywhere=True),
    Verb("rollback", "authorise", _("Authorise rollback"), rollbacks.authorise, ("authorise_rollback",), Rollback, _go, edge="authorise", signs=True, danger=True, shows=_assessed, why_not_permitted=rollbacks.why_not_permitted),
    Verb("rollback", "confirm_late", _("Approve late rollback"), late.confirm_late, (), Rollback, _go, states=frozenset({"assessed", "authorised"}), signs=True, shows=_assessed, why_not_permitted=late.why_not_permitted),
    Verb("rollback", "dismiss", _("Dismiss rollback"), rollbacks.dismiss, ("dismiss_rollback",), Rollback, must, edge="dismiss", signs=True, everywhere=True, why_not_permitted=rollbacks.why_dismiss_not_permitted),
    Verb("rollback", "retry", _("Retry rollback"), retry, ("roll_back",), Rollback, must, edge="retry", signs=True),
    Verb("rollback", "complete_manually", _("Complete manually"), by_hand.complete_manually, ("roll_back",), Rollback, _by_hand, edge="complete_manually", signs=True, danger=True, why_not_permitted=by_hand.why_not_permitted),
    Verb("rollback", "close", _("Close rollback"), rollbacks.close, ("assess_rollback",), Rollback, reason, edge="close", signs=True, everywhere=True),
    Verb("poll", "resume", _("Retry"), retry_limit.resume, ("decide", "prepare"), PollFailure, must, shows=_failed, asked=_resumes, over=_still_tried),
    Verb("monitoring", "record_result", _("Record monitoring result"), end.record_result, ("verify",), MonitoringPeriod, _result, signs=True, why_not_permitted=_of_its_deployment(end.why_not_permitted)),
)  # fmt: skip

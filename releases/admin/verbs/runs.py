"""Verbs on a run, its steps, its watch and its way back."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from environments.language import listed
from environments.models import Account, Environment
from releases.actions.deployment import decide, schedule, settle, verify
from releases.actions.poll import limited
from releases.actions.release.steps import manual_checks
from releases.actions.rollback import agree as late, communicate, decide as rollbacks, possible, take_over as by_hand
from releases.actions.rollback.causes import OWN, REHEARSAL
from releases.actions.rollback.communicated import communications
from releases.actions.rollback.run import retry
from releases.actions.step import confirm
from releases.actions.watch import sample
from releases.admin.verbs.base import Verb, ZonedDateTimeField, environment_of, must, reason, text, zone_of
from releases.admin.verbs.consent import bound_to
from releases.models import Deployment, MonitoringPeriod, PollFailure, Rollback, Step
from releases.steps.words import told

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


def _settle(instance: Any) -> Fields:
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
        choices += [(g.key, g.label(language)) for g in content.rollback.grounds]
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


def _verdict(instance: Any) -> Fields:
    return {
        "verdict": forms.ChoiceField(label=_("result"), choices=[("passed", _("passed"))]),
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


def _lost(instance: Any) -> list[tuple[str, str]]:
    """Return the alarm as it was assessed and what going back would take away, for whoever is about to say go."""
    names = ("cause", "note", "impact", "method", "timing")
    return [
        *((str(Rollback._meta.get_field(name).verbose_name), getattr(instance, name)) for name in names),  # type: ignore[union-attr]
        (_now("rows written since the backup"), rows_in_words(instance.facts)),
    ]


def _go(instance: Any) -> Fields:
    shown = late.digest_of(instance) if isinstance(instance, Rollback) else ""
    return {**bound_to(shown), **reason(instance)}


def rows_in_words(facts: Mapping[str, Any]) -> str:
    """Return the rows that going back would take away, per table."""
    if "rows_total" not in facts:
        return _now("still being counted")
    if facts.get("rows_fault"):
        return _now("not known: %(why)s") % {"why": facts["rows_fault"]}
    rows = listed(f"{table}: {rows}" for table, rows in sorted(facts.get("rows", {}).items())) or _now("none")
    return rows if facts.get("rows_exact", True) else _now("at most %(rows)s") % {"rows": rows}


def _of_its_run(ask: Callable[[Account, Deployment], str]) -> Callable[[Account, Any], str]:
    """Return what asks about a step or a watch as an action asks about its run."""
    return lambda account, row: ask(account, row.deployment)


def _failed(instance: Any) -> list[tuple[str, str]]:
    return [(str(instance), told(instance.error))]


def _resumes(instance: Any) -> list[tuple[str, Environment | None]]:
    """Return who lets something be tried anew: where a deployment waits for it whoever decides there, else who prepares."""
    place = environment_of(instance)
    return [("decide", place)] if place is not None else [("prepare", None)]


def _still_tried(instance: Any) -> str:
    return "" if instance.suspended_at is not None else _now("Ringi is still retrying this automatically.")


VERBS: tuple[Verb, ...] = (
    Verb("deployment", "schedule", _("Schedule deployment"), schedule.schedule, ("schedule", "start"), Deployment, _at, edge="schedule", signs=True, not_yours=schedule.not_yours),
    Verb("deployment", "cancel", _("Cancel deployment"), schedule.cancel, ("cancel", "stop"), Deployment, must, edge="cancel", danger=True, everywhere=True),
    Verb("deployment", "verify", _("Verify deployment"), _verify, ("verify",), Deployment, _confirmations, edge="start_monitoring", signs=True, not_yours=verify.not_yours),
    Verb("deployment", "fail", _("Mark as failed"), decide.give_up, ("decide",), Deployment, must, states=frozenset({"awaiting_decision"}), signs=True, danger=True, not_yours=decide.not_yours),
    Verb("deployment", "stop", _("Stop deployment"), decide.stop, ("stop",), Deployment, must, edge="stop", danger=True),
    Verb("deployment", "resolve", _("Resolve deployment"), settle.settle, ("settle",), Deployment, _settle, edge="resolve", signs=True, not_yours=settle.not_yours),
    Verb("step", "retry", _("Retry step"), decide.retry, ("decide",), Step, must, edge="retry", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "start_anyway", _("Start anyway"), decide.go_on, ("decide",), Step, must, edge="start_anyway", signs=True, danger=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "skip", _("Skip step"), decide.skip, ("decide",), Step, must, edge="skip", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "mark_succeeded", _("Mark as succeeded"), decide.confirm_done, ("decide",), Step, must, edge="mark_succeeded", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "assign", _("Claim step"), confirm.assign, (), Step, reason, states=frozenset({"outcome_unknown"}), not_yours=confirm.not_named),
    Verb("step", "confirm_manual", _("Confirm manual step"), confirm.confirm, (), Step, _note, edge="mark_succeeded", signs=True, not_yours=confirm.not_yours),
    Verb("rollback", "raise", _("Raise rollback"), rollbacks.raise_, ("raise", "roll_back"), Deployment, _cause, states=frozenset(possible.FROM), danger=True),
    Verb("rollback", "assess", _("Assess rollback"), rollbacks.assess, ("assess",), Rollback, _assessment, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}), everywhere=True),
    Verb("rollback", "communicate", _("Communicate rollback"), communicate.communicate, ("assess", "authorise_rollback"), Rollback, _communication, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}), everywhere=True),
    Verb("rollback", "authorise", _("Authorise rollback"), rollbacks.authorise, ("authorise_rollback",), Rollback, _go, edge="authorise", signs=True, danger=True, shows=_lost, not_yours=rollbacks.not_yours),
    Verb("rollback", "confirm_late", _("Approve late rollback"), late.agree, (), Rollback, _go, states=frozenset({"assessed", "authorised"}), signs=True, shows=_lost, not_yours=late.not_yours),
    Verb("rollback", "dismiss", _("Dismiss rollback"), rollbacks.dismiss, ("dismiss",), Rollback, must, edge="dismiss", signs=True, everywhere=True, not_yours=rollbacks.not_yours_to_dismiss),
    Verb("rollback", "retry", _("Retry rollback"), retry, ("roll_back",), Rollback, must, edge="retry", signs=True),
    Verb("rollback", "complete_manually", _("Complete manually"), by_hand.take_over, ("roll_back",), Rollback, _by_hand, edge="complete_manually", signs=True, danger=True, not_yours=by_hand.not_yours),
    Verb("rollback", "close", _("Close rollback"), rollbacks.close, ("assess",), Rollback, reason, edge="close", signs=True, everywhere=True),
    Verb("poll", "resume", _("Retry"), limited.resume, ("decide", "prepare"), PollFailure, must, shows=_failed, asked=_resumes, over=_still_tried),
    Verb("monitoring", "record_result", _("Record monitoring result"), sample.judge_watch, ("verify",), MonitoringPeriod, _verdict, signs=True, not_yours=_of_its_run(sample.not_yours)),
)  # fmt: skip

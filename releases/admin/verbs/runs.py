"""Verbs on a run, its steps, its watch and its way back."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

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
from releases.models import Deployment, PollFailure, Rollback, Step, Watch
from releases.steps.words import told

Fields = Mapping[str, forms.Field]


def _at(instance: Any) -> Fields:
    return {
        "at": ZonedDateTimeField(label=_("hour (empty: now)"), zone=zone_of(instance), required=False),
        "reason": text(_("reason"), required=False),
    }


def _confirmations(instance: Any) -> Fields:
    choices = []
    if isinstance(instance, Deployment):
        content = instance.procedure.document
        choices = [(c.key, c.label(get_language() or "ja")) for c in manual_checks(content, "deployment")]
    return {
        "confirmed": forms.MultipleChoiceField(
            label=_("I have looked at"), choices=choices, required=False, widget=forms.CheckboxSelectMultiple()
        ),
        "reason": text(_("reason"), required=False),
    }


def _verify(pk: int, *, confirmed: list[str], reason: str) -> Deployment:
    return verify.verify(pk, confirmed=tuple(confirmed), reason=reason)


def _settle(instance: Any) -> Fields:
    return {
        "how": forms.ChoiceField(
            label=_("the target is"),
            choices=[("as_before", _("as before")), ("as_planned", _("as planned")), ("unknown", _("unknown"))],
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
        "note": text(_("what was seen"), rows=3),
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
    stated = text(_("how they were told without Ringi"), required=False, rows=2)
    stated.help_text = _("Leave it empty to have Ringi send the notifications.")
    return {
        "items": forms.MultipleChoiceField(
            label=_("what is communicated"),
            choices=choices,
            initial=[key for key, _label in choices],
            widget=forms.CheckboxSelectMultiple,
        ),
        "stated": stated,
    }


def _verdict(instance: Any) -> Fields:
    return {
        "verdict": forms.ChoiceField(label=_("verdict"), choices=[("healthy", _("healthy"))]),
        "reason": text(_("reason")),
    }


def _by_hand(instance: Any) -> Fields:
    return {
        "maintenance": forms.ChoiceField(
            label=_("maintenance mode on the target is now"),
            choices=[("", "—"), ("off", _("off")), ("on", _("on"))],
            help_text=_("Ringi also measures it on the target, where it can be reached, and keeps both."),
        ),
        "service": forms.ChoiceField(
            label=_("the service is now"),
            choices=[
                ("", "—"),
                ("running", _("runs")),
                ("stopped", _("does not run")),
                ("none", _("the target has none")),
            ],
        ),
        "reason": text(_("what was done")),
        "accepted": forms.BooleanField(
            label=_("I know that maintenance mode is still on or the service does not run, and leave it so"),
            required=False,
        ),
    }


def _note(instance: Any) -> Fields:
    return {"reason": text(_("what was done"))}


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
    listed = ", ".join(f"{table}: {rows}" for table, rows in sorted(facts.get("rows", {}).items())) or _now("none")
    return listed if facts.get("rows_exact", True) else _now("at most %(rows)s") % {"rows": listed}


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
    return "" if instance.suspended_at is not None else _now("This is still being tried by itself.")


VERBS: tuple[Verb, ...] = (
    Verb("deployment", "schedule", _("Schedule"), schedule.schedule, ("schedule", "start"), Deployment, _at, edge="schedule", signs=True, not_yours=schedule.not_yours),
    Verb("deployment", "cancel", _("Cancel"), schedule.cancel, ("cancel", "stop"), Deployment, must, edge="cancel", danger=True, everywhere=True),
    Verb("deployment", "verify", _("Verify"), _verify, ("verify",), Deployment, _confirmations, edge="watch", signs=True, not_yours=verify.not_yours),
    Verb("deployment", "give_up", _("Give up"), decide.give_up, ("decide",), Deployment, must, states=frozenset({"waiting"}), signs=True, danger=True, not_yours=decide.not_yours),
    Verb("deployment", "stop", _("Stop"), decide.stop, ("stop",), Deployment, must, edge="stop", danger=True),
    Verb("deployment", "settle", _("Settle"), settle.settle, ("settle",), Deployment, _settle, edge="settle", signs=True, not_yours=settle.not_yours),
    Verb("step", "retry", _("Retry"), decide.retry, ("decide",), Step, must, edge="retry", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "go_on", _("Begin it all the same"), decide.go_on, ("decide",), Step, must, edge="go_on", signs=True, danger=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "skip", _("Skip"), decide.skip, ("decide",), Step, must, edge="skip", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "confirm_done", _("It was done"), decide.confirm_done, ("decide",), Step, must, edge="confirm_done", signs=True, not_yours=_of_its_run(decide.not_yours)),
    Verb("step", "assign", _("Claim step"), confirm.assign, (), Step, reason, states=frozenset({"needs_decision"}), not_yours=confirm.not_named),
    Verb("step", "confirm", _("Confirm that it was done"), confirm.confirm, (), Step, _note, edge="confirm_done", signs=True, not_yours=confirm.not_yours),
    Verb("rollback", "raise", _("Raise a rollback"), rollbacks.raise_, ("raise", "roll_back"), Deployment, _cause, states=frozenset(possible.FROM), danger=True),
    Verb("rollback", "assess", _("Assess"), rollbacks.assess, ("assess",), Rollback, _assessment, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "faltered"}), everywhere=True),
    Verb("rollback", "communicate", _("Communicate rollback"), communicate.communicate, ("assess", "authorise_rollback"), Rollback, _communication, states=frozenset({"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "faltered"}), everywhere=True),
    Verb("rollback", "authorise", _("Authorise"), rollbacks.authorise, ("authorise_rollback",), Rollback, _go, edge="authorise", signs=True, danger=True, shows=_lost, not_yours=rollbacks.not_yours),
    Verb("rollback", "agree", _("Agree to the late way back"), late.agree, (), Rollback, _go, states=frozenset({"assessed", "authorised"}), signs=True, shows=_lost, not_yours=late.not_yours),
    Verb("rollback", "dismiss", _("Dismiss"), rollbacks.dismiss, ("dismiss",), Rollback, must, edge="dismiss", signs=True, everywhere=True, not_yours=rollbacks.not_yours_to_dismiss),
    Verb("rollback", "retry", _("Try again"), retry, ("roll_back",), Rollback, must, edge="retry", signs=True),
    Verb("rollback", "take_over", _("It was done by hand"), by_hand.take_over, ("roll_back",), Rollback, _by_hand, edge="take_over", signs=True, danger=True, not_yours=by_hand.not_yours),
    Verb("rollback", "close", _("Close"), rollbacks.close, ("assess",), Rollback, reason, edge="close", signs=True, everywhere=True),
    Verb("poll", "resume", _("Try again"), limited.resume, ("decide", "prepare"), PollFailure, must, shows=_failed, asked=_resumes, over=_still_tried),
    Verb("watch", "judge", _("Give a verdict"), sample.judge_watch, ("verify",), Watch, _verdict, signs=True, not_yours=_of_its_run(sample.not_yours)),
)  # fmt: skip

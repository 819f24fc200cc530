"""Verbs on a deployment, its steps, its monitoring and its source."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from audit.clock import now
from environments.models import Account, Environment
from environments.targets.words import in_words
from releases.admin.operations.base import Verb, environment_of, zone_of
from releases.admin.operations.fields import ZonedDateTimeField, text
from releases.models import Deployment, MonitoringPeriod, PollFailure, Step
from releases.operations.deployment import decide, resolve, schedule, verify
from releases.operations.monitoring import end
from releases.operations.poll import retry_limit
from releases.operations.step import confirm_manual, resume
from releases.queries.step_plan import manual_checks

Fields = Mapping[str, forms.Field]


def _at(instance: Any) -> Fields:
    start = None
    if isinstance(instance, Deployment) and instance.environment.tier == Environment.Tier.PRODUCTION:
        planned, _end = instance.release.window_in(instance.environment)
        start = planned if planned is not None and planned > now() else None
    label = _("scheduled start (empty: now)")
    return {
        "at": ZonedDateTimeField(label=label, zone=zone_of(instance), required=False, initial=start),
        "reason": text(_("reason"), required=False),
    }


def _confirmations(instance: Any) -> Fields:
    choices = []
    if isinstance(instance, Deployment):
        content = instance.content
        choices = [(c.key, c.label(get_language() or "ja")) for c in manual_checks(content, "deployment")]
    items = forms.MultipleChoiceField(
        label=_("checked items"), choices=choices, required=False, widget=forms.CheckboxSelectMultiple()
    )
    return ({"confirmed": items} if choices else {}) | {"reason": text(_("reason"), required=False)}


def _verify(pk: int, *, reason: str, confirmed: Sequence[str] = ()) -> Deployment:
    return verify.verify(pk, confirmed=tuple(confirmed), reason=reason)


def _resolve(instance: Any) -> Fields:
    return {
        "how": forms.ChoiceField(
            label=_("state of the deployment target"),
            choices=[("previous", _("previous state")), ("planned", _("planned state")), ("unknown", _("unknown"))],
        ),
        "reason": text(_("reason")),
    }


def _result(instance: Any) -> Fields:
    return {
        "result": forms.ChoiceField(label=_("result"), choices=[("passed", _("passed"))]),
        "reason": text(_("reason")),
    }


def _note(instance: Any) -> Fields:
    return {"reason": text(_("work done"))}


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


on_deployment = partial(Verb, "deployment", model=Deployment)
on_step = partial(Verb, "step", model=Step, signs=True)
_decides = _of_its_deployment(decide.why_not_permitted)
on_stopped_step = partial(on_step, rights=("decide",), why_not_permitted=_decides)
VERBS: tuple[Verb, ...] = (
    on_deployment(
        "schedule",
        _("Schedule deployment"),
        schedule.schedule,
        ("schedule", "start"),
        fields=_at,
        signs=True,
        why_not_permitted=schedule.why_not_permitted,
    ),
    on_deployment("cancel", _("Cancel deployment"), schedule.cancel, ("cancel", "stop"), danger=True, everywhere=True),
    on_deployment(
        "verify",
        _("Verify deployment"),
        _verify,
        ("verify",),
        fields=_confirmations,
        edge="start_monitoring",
        signs=True,
        why_not_permitted=verify.why_not_permitted,
    ),
    on_deployment(
        "fail",
        _("Mark as failed"),
        decide.fail,
        ("decide",),
        states=frozenset({"awaiting_decision"}),
        signs=True,
        danger=True,
        why_not_permitted=decide.why_not_permitted,
    ),
    on_deployment("stop", _("Stop deployment"), decide.stop, ("stop",), danger=True),
    on_deployment(
        "resolve",
        _("Resolve deployment"),
        resolve.resolve,
        ("resolve",),
        fields=_resolve,
        signs=True,
        why_not_permitted=resolve.why_not_permitted,
    ),
    on_stopped_step("retry", _("Retry step"), resume.retry),
    on_stopped_step("start_anyway", _("Start anyway"), resume.start_anyway, danger=True),
    on_stopped_step("skip", _("Skip step"), resume.skip),
    on_stopped_step("mark_succeeded", _("Mark as succeeded"), resume.mark_succeeded),
    on_step(
        "assign",
        _("Claim step"),
        confirm_manual.assign,
        (),
        states=frozenset({"outcome_unknown"}),
        why_not_permitted=confirm_manual.not_named,
        signs=False,
    ),
    on_step(
        "confirm_manual",
        _("Confirm manual step"),
        confirm_manual.confirm_manual,
        (),
        fields=_note,
        edge="mark_succeeded",
        why_not_permitted=confirm_manual.why_not_permitted,
    ),
    Verb(
        "poll",
        "resume",
        _("Retry"),
        retry_limit.resume,
        ("decide", "prepare"),
        PollFailure,
        shows=_failed,
        asked=_resumes,
        over=_still_tried,
    ),
    Verb(
        "monitoring",
        "record_result",
        _("Record monitoring result"),
        end.record_result,
        ("verify",),
        MonitoringPeriod,
        fields=_result,
        signs=True,
        why_not_permitted=_of_its_deployment(end.why_not_permitted),
    ),
)

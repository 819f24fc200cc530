"""Verbs on a rollback."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from environments.language import listed
from releases.admin.operations.approval import bound_to
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import reason, text
from releases.models import Deployment, Rollback
from releases.operations.rollback import (
    communicate,
    complete_manually as by_hand,
    confirm_late as late,
    decide as rollbacks,
)
from releases.operations.rollback.start import retry
from releases.queries import rollback_candidates
from releases.queries.rollback_causes import OWN, REHEARSAL
from releases.queries.rollback_communication import communications

Fields = Mapping[str, forms.Field]


def _cause(instance: Any) -> Fields:
    choices = []
    if isinstance(instance, Deployment):
        language = get_language() or "ja"
        content = instance.content
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


on_rollback = partial(Verb, "rollback", model=Rollback)
VERBS: tuple[Verb, ...] = (
    on_rollback(
        "raise",
        _("Raise rollback"),
        rollbacks.raise_,
        ("raise_rollback", "roll_back"),
        model=Deployment,
        fields=_cause,
        states=frozenset(rollback_candidates.FROM),
        danger=True,
    ),
    on_rollback(
        "assess",
        _("Assess rollback"),
        rollbacks.assess,
        ("assess_rollback",),
        fields=_assessment,
        states=frozenset(
            {"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}
        ),
        everywhere=True,
    ),
    on_rollback(
        "communicate",
        _("Communicate rollback"),
        communicate.communicate,
        ("assess_rollback", "authorise_rollback"),
        fields=_communication,
        states=frozenset(
            {"raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "failed"}
        ),
        everywhere=True,
    ),
    on_rollback(
        "authorise",
        _("Authorise rollback"),
        rollbacks.authorise,
        ("authorise_rollback",),
        fields=_go,
        signs=True,
        danger=True,
        shows=_assessed,
        why_not_permitted=rollbacks.why_not_permitted,
    ),
    on_rollback(
        "confirm_late",
        _("Approve late rollback"),
        late.confirm_late,
        (),
        fields=_go,
        states=frozenset({"assessed", "authorised"}),
        signs=True,
        shows=_assessed,
        why_not_permitted=late.why_not_permitted,
    ),
    on_rollback(
        "dismiss",
        _("Dismiss rollback"),
        rollbacks.dismiss,
        ("dismiss_rollback",),
        signs=True,
        everywhere=True,
        why_not_permitted=rollbacks.why_dismiss_not_permitted,
    ),
    on_rollback("retry", _("Retry rollback"), retry, ("roll_back",), signs=True),
    on_rollback(
        "complete_manually",
        _("Complete manually"),
        by_hand.complete_manually,
        ("roll_back",),
        fields=_by_hand,
        signs=True,
        danger=True,
        why_not_permitted=by_hand.why_not_permitted,
    ),
    on_rollback("close", _("Close rollback"), rollbacks.close, ("assess_rollback",), signs=True, everywhere=True),
)

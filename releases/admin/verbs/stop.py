"""Verbs on the stop switch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from environments.models import Account, Application
from releases.actions.switch import press, propose_release
from releases.admin.verbs.base import Verb, must
from releases.models import EmergencyStop


@dataclass(frozen=True)
class StopVerb(Verb):
    """A verb that is also offered to who may stop runs in one production environment only."""

    def for_you(self, account: Account, instance: Any) -> bool:
        """Answer as the action does."""
        return press.may_press(account)


def _press(instance: Any) -> Mapping[str, forms.Field]:
    fields = must(instance)
    fields["reason"].help_text = _(
        "No deployment step starts in production any more; rollbacks continue. To lift the emergency stop, one "
        "person requests this and another person approves."
    )
    return {
        "application_id": forms.ModelChoiceField(
            label=_("application"),
            queryset=Application.objects.all(),
            required=False,
            empty_label=_("all applications"),
        ),
        "pauses": forms.ChoiceField(
            label=_("running deployments"),
            choices=(("", _("Stop running deployments")), ("1", _("Hold running deployments before their next step"))),
            required=False,
            widget=forms.RadioSelect,
        ),
        **fields,
    }


def _activate(*, pauses: str, **values: Any) -> EmergencyStop:
    return press.press(pauses=bool(pauses), **values)


def _released(switch: EmergencyStop) -> str:
    if switch.lifted_at is not None:
        return _now("The emergency stop was lifted already.")
    return (
        _now("Lifting this emergency stop has already been requested.")
        if switch.approval_requests.filter(state="in_review").exists()
        else ""
    )


VERBS: tuple[Verb, ...] = (
    StopVerb("emergency_stop", "activate", _("Activate emergency stop"), _activate, press.RIGHTS, fields=_press, danger=True),
    StopVerb("emergency_stop", "request_lift", _("Request emergency stop lift"), propose_release.propose_release, press.RIGHTS,
             EmergencyStop, must, signs=True, over=_released),
)  # fmt: skip

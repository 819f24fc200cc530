"""Verbs on the emergency stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from environments.admin.rights import Rights
from environments.models import Application, Environment
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import must
from releases.models import EmergencyStop
from releases.operations.emergency_stop import activate, request_lift


@dataclass(frozen=True)
class EmergencyStopVerb(Verb):
    """A verb that is also offered to accounts that may stop deployments in one production environment only, or those of
    one application.
    """

    def for_you(self, rights: Rights, instance: Any) -> bool:
        """Answer as the operation does; where the scope is yet to be chosen, for any application."""
        places = list(Environment.objects.filter(tier=Environment.Tier.PRODUCTION))
        scopes = [rights.about(instance), *(map(rights.about, rights.named) if instance is None else ())]
        return any(
            any(map(scope.may, activate.RIGHTS))
            or any(scope.may(right, place) for place in places for right in activate.RIGHTS_THERE)
            for scope in scopes
        )


def _activate_fields(instance: Any) -> Mapping[str, forms.Field]:
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
    return activate.activate(pauses=bool(pauses), **values)


def _lift_requested(stop: EmergencyStop) -> str:
    if stop.lifted_at is not None:
        return _now("The emergency stop was lifted already.")
    return (
        _now("Lifting this emergency stop has already been requested.")
        if stop.approval_requests.filter(state="in_review").exists()
        else ""
    )


VERBS: tuple[Verb, ...] = (
    EmergencyStopVerb(
        "emergency_stop",
        "activate",
        _("Activate emergency stop"),
        _activate,
        activate.RIGHTS,
        fields=_activate_fields,
        danger=True,
        makes=EmergencyStop,
    ),
    EmergencyStopVerb(
        "emergency_stop",
        "request_lift",
        _("Request emergency stop lift"),
        request_lift.request_lift,
        activate.RIGHTS,
        EmergencyStop,
        must,
        signs=True,
        over=_lift_requested,
    ),
)

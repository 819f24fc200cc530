"""target:set_watch: what a target is watched by (R7, B1), and which private networks may be asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.actions.target.settings import require_sound
from environments.models import ConfigurationVersion, Target
from releases.actions.watch.place import spec_of, values_of
from releases.metrics.looking import Looked, WrongSources, look, places_of
from releases.models import InForce
from releases.sources.addresses import networks
from releases.steps.base import TargetSpec


def faults_in(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fault of what a target's settings say of its watch and its networks."""
    faults = []
    try:
        places_of(settings)
    except WrongSources as wrong:
        faults.append(str(wrong))
    own = settings.get("private_networks", [])
    try:
        if not isinstance(own, list):
            raise ValueError
        networks(str(text) for text in own)
    except ValueError:
        faults.append(_("“private_networks” must be a list of networks such as 10.1.0.0/16."))
    return faults


def set_watch(
    target_id: int, *, sources: Sequence[Mapping[str, Any]], private_networks: Sequence[str] = (), reason: str
) -> Target:
    """Say by which sources a target is watched from its next sample on; refused with the place of every fault."""
    with change("target:set_watch", (Target, target_id), reason=reason, sign=True) as act:
        access.require("configure_target")
        if not reason.strip():
            raise Invalid(_("Say why."))
        target = act.get(Target)
        settings = {**target.settings, "watch": list(sources), "private_networks": list(private_networks)}
        require_sound(settings)
        target.settings = settings
    return target


def tried(target: Target, sources: Any, private_networks: Sequence[str]) -> Looked:
    """Look once through sources that are not kept yet. Raises WrongSources."""
    settings = {**target.settings, "watch": sources, "private_networks": list(private_networks)}
    places = places_of(settings)
    spec = spec_of(target)
    given: dict[str, str] = {}
    if any(place.source.needs_configuration for place in places):
        pointer = InForce.objects.filter(application=target.application, environment=target.environment).first()
        pk = pointer.configuration_id if pointer is not None else None
        given = values_of(ConfigurationVersion.objects.filter(pk=pk).first() if pk is not None else None)
    return look(TargetSpec(spec.application, spec.environment, spec.root, settings), places, {}, given)

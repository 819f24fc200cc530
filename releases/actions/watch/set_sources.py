"""target:set_watch and target:try_watch: what a target is watched by (R7, B1), and which private networks may be asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet

from audit.change import change
from audit.refusals import Invalid, NotYou
from environments import access
from environments.actions.target.settings import require_sound
from environments.models import Account, Target
from environments.reach.addresses import networks
from releases.actions.watch.place import configuration_in_force, spec_of
from releases.metrics.base import TargetSource
from releases.metrics.looking import Looked, WrongSources, look, places_of
from releases.models import Deployment, Watch
from releases.steps.masking import clean
from releases.steps.words import gettext as _


def faults_in(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fault of what a target's settings say of its watch and its networks."""
    faults = []
    try:
        for place in places_of(settings):
            program = getattr(place.parameters, "argv", ("",))[0]
            if place.source.runs_program and (not program.startswith("{tree}/") or ".." in program):
                faults.append(
                    _("%(where)s: only a program of the release is run, from {tree}/ on.") % {"where": place.key}
                )
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


def not_over(target: Target) -> QuerySet[Deployment]:
    """Return the runs of a target that are booked, under way or watched."""
    # From its booking on: what is measured before, between and after its steps is compared.
    watched = Watch.objects.filter(ended_at=None).values("deployment")
    runs = Deployment.objects.filter(application=target.application, environment=target.environment)
    return runs.filter(Q(state__in=[*Deployment.OCCUPYING, *Deployment.WAITING_TO_RUN]) | Q(pk__in=watched))


def set_watch(
    target_id: int, *, sources: Sequence[Mapping[str, Any]], private_networks: Sequence[str] = (), reason: str
) -> Target:
    """Say by which sources a target is watched from its next sample on; refused with the place of every fault."""
    with change("target:set_watch", (Target, target_id), reason=reason, sign=True) as act:
        account = access.require("configure_target")
        if not reason.strip():
            raise Invalid(_("Say why."))
        target = act.get(Target)
        if why := not_yours(account, target):
            raise NotYou(why)
        settings = {**target.settings, "watch": list(sources), "private_networks": list(private_networks)}
        require_sound(settings)
        target.settings = settings
    return target


def not_yours(account: Account, target: Target) -> str:
    """Return why a person may not say by what a target is watched; empty when he may."""
    runs = not_over(target).select_related("started_by", "requested_by")
    if any(run.was_started_by(account) for run in runs):
        return _("You have scheduled the run that is watched; another person says by what.")
    return ""


def try_watch(target_id: int, *, sources: Sequence[Mapping[str, Any]], private_networks: Sequence[str] = ()) -> Looked:
    """Look once through sources that are not kept yet; asks for the same right and signature as keeping them.

    A program of the target's is not run, nor is its host entered: this is the web process and not a worker. Raises Invalid for faults.
    """
    with change("target:try_watch", (Target, target_id), sign=True) as act:
        access.require("configure_target")
        target = act.get(Target)
        settings = {**target.settings, "watch": list(sources), "private_networks": list(private_networks)}
        require_sound(settings)
        act.details["sources"] = list(sources)
    elsewhere = bool(settings.get("ssh"))
    places = [
        place
        for place in places_of(settings)
        if not place.source.runs_program and not (elsewhere and isinstance(place.source, TargetSource))
    ]
    given: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    if any(place.source.needs_configuration for place in places):
        given, secrets = configuration_in_force(target.application, target.environment)
    looked = look(replace(spec_of(target), settings=settings), places, {}, given)
    return replace(looked, errors={key: clean(text, secrets) for key, text in looked.errors.items()})

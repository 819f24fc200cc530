"""Forms that fill in what a release needs in one go, each with what was chosen last time."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.language import noted
from environments.models import ConfigurationVersion, Environment
from releases.admin.operations.access import people
from releases.admin.operations.base import length, row, text
from releases.models import Release, TeamMember
from releases.operations.release import plan
from releases.operations.team import assign

Fields = Mapping[str, forms.Field]


def configuration_fields(instance: Any) -> Fields:
    """Return a choice for each environment: what is chosen, else the newest."""
    fields: dict[str, forms.Field] = {}
    for place in Environment.objects.of(instance.application) if isinstance(instance, Release) else ():
        if place.tier == Environment.Tier.PRODUCTION and not instance.bound_for_production:
            continue
        rows = ConfigurationVersion.objects.filter(application=instance.application, environment=place)
        newest = rows.order_by("-number").first()
        if newest is not None:
            chosen = row(place, ConfigurationVersion, required=False)
            chosen.queryset = rows.order_by("-number")
            chosen.initial = instance.configurations.get(place.slug, newest.pk)
            fields[f"configuration_{place.slug}"] = chosen
    return fields


def choose_configurations(release_id: int, **chosen: int | None) -> Release:
    """Choose the versions that the form names."""
    return plan.set_configurations(release_id, configuration_ids=[pk for pk in chosen.values() if pk is not None])


def team_fields(instance: Any) -> Fields:
    """Return person and telephone of each team role: as they are, else as in the application's last release."""
    known: dict[str, TeamMember] = {}
    if isinstance(instance, Release):
        others = Release.objects.filter(application=instance.application, team_members__isnull=False)
        last = others.exclude(pk=instance.pk).order_by("-pk").first()
        for release in (last, instance):
            known |= {row.team_role: row for row in release.team_members.all()} if release is not None else {}
    fields: dict[str, forms.Field] = {}
    for role, words in TeamMember.TeamRole.choices:
        member = known.get(role)
        fields[f"{role}_account_id"] = people(words, member.account_id if member is not None else None)
        fields[f"{role}_account_id"].required = False
        fields[f"{role}_telephone"] = text(
            noted(_("telephone"), words),
            required=False,
            initial=member.telephone if member is not None else "",
            most=length(TeamMember, "telephone"),
        )
    return fields


def assign_team(release_id: int, **given: Any) -> list[TeamMember]:
    """Assign the persons that the form names."""
    members = {
        role: (given[f"{role}_account_id"], given[f"{role}_telephone"])
        for role in TeamMember.TeamRole.values
        if given.get(f"{role}_account_id")
    }
    return assign.assign_all(release_id, members=members)

"""Forms that fill in what a release needs in one go, each with what was chosen last time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, gettext_lazy as _

from audit.clock import now
from environments.calendar import print_time
from environments.language import labelled, language, listed, noted
from environments.models import ConfigurationVersion, Environment
from releases.admin.operations.access import people
from releases.admin.operations.base import zone_of
from releases.admin.operations.fields import ZonedDateTimeField, length, row, text
from releases.gates.window import opening
from releases.models import Procedure, Release, TeamMember
from releases.operations.release import copy, plan, reschedule
from releases.operations.team import assign
from releases.queries import shared_hosts
from releases.queries.coming_windows import Coming, coming_windows
from releases.queries.step_plan import production_of

Fields = Mapping[str, forms.Field]
OPEN_NOW: Final = "now"


def configuration_fields(instance: Any, *, newest: bool = False) -> Fields:
    """Return a choice for each environment: what is chosen, else, or always, the newest."""
    fields: dict[str, forms.Field] = {}
    for place in Environment.objects.of(instance.application) if isinstance(instance, Release) else ():
        if place.tier == Environment.Tier.PRODUCTION and not instance.bound_for_production:
            continue
        rows = ConfigurationVersion.objects.filter(application=instance.application, environment=place)
        last = rows.order_by("-number").first()
        if last is not None:
            chosen = row(noted(_("configuration"), place) if newest else place, ConfigurationVersion, required=False)
            chosen.queryset = rows.order_by("-number")
            chosen.initial = last.pk if newest else instance.configurations.get(place.slug, last.pk)
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


def start_fields(instance: Any) -> Fields:
    """Return a choice among the coming change windows, and a field for another time."""
    fields: dict[str, forms.Field] = {}
    coming = _coming(instance) if isinstance(instance, Release) and instance.kind != Release.Kind.EMERGENCY else []
    if coming:
        place = production_of(instance)
        choices = [(_value(one), _words(one, place)) for one in coming]
        fields["window"] = forms.ChoiceField(
            label=_("change window"), choices=choices, required=False, widget=forms.RadioSelect
        )
    fields["start"] = ZonedDateTimeField(
        label=noted(_("T-0"), _("another time")) if coming else _("T-0"), zone=zone_of(instance), required=not coming
    )
    fields["reason"] = text(_("reason"), required=False)
    return fields


def copied_fields(instance: Any) -> Fields:
    """Return the fields of the scheduled start, which may be left open, and the newest configurations."""
    fields = {**start_fields(instance), **configuration_fields(instance, newest=True)}
    fields["start"].required = False
    return {name: field for name, field in fields.items() if name != "reason"}


def copy_to(
    release_id: int, *, window: str = "", start: datetime | None = None, reason: str = "", **given: Any
) -> Release:
    """Copy a release into the window, or to the time, that the form names, with the configurations that it names."""
    chosen = {name: value for name, value in given.items() if name.startswith("configuration_")}
    return copy.copy(
        release_id,
        start=_chosen(window, start) if window or start else None,
        configuration_ids=[pk for pk in chosen.values() if pk is not None],
        reason=reason,
        **{name: value for name, value in given.items() if name not in chosen},
    )


def postpone_fields(instance: Any) -> Fields:
    """Return the same with a reason that is required."""
    return {**start_fields(instance), "reason": text(_("reason"))}


def set_start(release_id: int, *, window: str = "", start: datetime | None = None, reason: str = "") -> Release:
    """Plan the release for the window, or the time, that the form names."""
    return reschedule.set_scheduled_start(release_id, start=_chosen(window, start), reason=reason)


def reschedule_to(release_id: int, *, window: str = "", start: datetime | None = None, reason: str) -> Release:
    """Move the release to the window, or the time, that the form names."""
    return reschedule.reschedule(release_id, start=_chosen(window, start), reason=reason)


def beside(release: Release, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Show which releases of other applications would be deployed then on the same hosts."""
    place, start = production_of(release), _chosen(values.get("window", ""), values["start"])
    answer = opening(release.application, place, start, emergency=release.kind == Release.Kind.EMERGENCY)
    found = shared_hosts.warnings(release, place, start, answer.until or start) if answer.open else []
    return [(gettext("same hosts"), sentence) for sentence in found]


def _chosen(window: str, start: datetime | None) -> datetime:
    """Return the typed time, else the beginning of the chosen window."""
    if start is not None:
        return start
    if not window:
        raise forms.ValidationError(_("Choose a change window, or enter another time."))
    return now() if window == OPEN_NOW else datetime.fromisoformat(window)


def _coming(release: Release) -> list[Coming]:
    procedure = release.procedure or Procedure.objects.of(release.application)
    if procedure is None or not release.destinations:
        return []
    return coming_windows(release, production_of(release), procedure.document, now())


def _value(coming: Coming) -> str:
    return coming.start.isoformat() if coming.start is not None else OPEN_NOW


def _words(coming: Coming, place: Environment) -> str:
    """Return a window with its milestones and who else is planned for it, as the label of a choice."""

    def shown(at: datetime) -> str:
        return str(print_time(at, place.zone, language()))

    begins = shown(coming.start) if coming.start is not None else gettext("open now")
    late = [key for key, at in coming.due.items() if at < now()]
    lines = [listed(noted(key, shown(at)) for key, at in coming.due.items() if key not in late)]
    if late:
        lines.append(labelled(gettext("already past"), listed(late)))
    if coming.taken:
        lines.append(labelled(gettext("planned for it"), listed(coming.taken)))
    return format_html(
        "<span><b>{} – {}</b>{}</span>",
        begins,
        shown(coming.end),
        format_html_join("", "<br><small>{}</small>", ((line,) for line in lines if line)),
    )

"""Verbs on targets, their configuration and deployed versions, and the procedure."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from environments import access
from environments.admin.people import differences_of
from environments.admin.rights import read_rights
from environments.models import Application, ConfigurationVersion, DeploymentTarget, Environment, RequestedChange
from environments.operations.configuration import check_connectivity, create as configurations
from environments.operations.requested_change import decide as requested_changes
from releases.admin.components import target_form
from releases.admin.operations.base import Shown, Verb
from releases.admin.operations.fields import PairsField, WriteOnly, length, row, text
from releases.models import DeployedVersion, Release
from releases.operations.deployed_version import place as install, register
from releases.operations.target import measure, retire
from releases.operations.target.set_settings import OWN, create_target, set_settings
from releases.operations.target.test import try_settings

Fields = Mapping[str, forms.Field]


def _target(instance: Any) -> Fields:
    return {
        "application_id": row(_("application"), Application),
        "environment_id": row(_("environment"), Environment),
        "name": _key(_("target name"), "name", DeploymentTarget.ONLY),
        "group": _key(_("group"), "group", ""),
        "root": _folder(""),
        **target_form.fields_of({}),
    }


def _key(label: Any, column: str, initial: str) -> forms.SlugField:
    field = forms.SlugField(label=label, initial=initial, required=False, max_length=length(DeploymentTarget, column))
    field.help_text = (
        _("The name tells several targets of an application in an environment apart.")
        if column == "name"
        else _("Steps name some of several targets by their group, such as web.")
    )
    return field


def _folder(initial: str) -> forms.CharField:
    field = text(_("folder"), most=length(DeploymentTarget, "root"), initial=initial)
    field.help_text = _(
        "Enter a full path on the target's host, such as /srv/app. Ringi places versions below this path."
    )
    return field


def _create(
    *, application_id: int, environment_id: int, root: str, name: str = "", group: str = "", **given: Any
) -> Any:
    settings = target_form.settings_of(given)
    return create_target(
        application_id=application_id,
        environment_id=environment_id,
        root=root,
        name=name or DeploymentTarget.ONLY,
        group=group,
        settings=settings,
    )


def _set_settings(pk: int, *, root: str, group: str, reason: str, **given: Any) -> Any:
    return set_settings(pk, root=root, group=group, settings=target_form.settings_of(given), reason=reason)


def _tried(instance: Any, values: dict[str, Any]) -> list[Shown]:
    """Check everything that the form's values name."""
    given = {**values}
    known = instance if isinstance(instance, DeploymentTarget) else None
    root = given.pop("root")
    for other in ("reason", "name", "group"):
        given.pop(other, None)
    application = known.application_id if known is not None else given.pop("application_id")
    environment = known.environment_id if known is not None else given.pop("environment_id")
    own = {name: known.options[name] for name in OWN if name in known.options} if known is not None else {}
    found = try_settings(
        application_id=application,
        environment_id=environment,
        root=root,
        settings=target_form.settings_of(given) | own,
        target_id=known.pk if known is not None else None,
    )
    names = {
        "connection": gettext("connection"),
        "folder": gettext("folder"),
        "programs": gettext("paths visible to programs"),
        "ready": gettext("ready address"),
        "log": gettext("log"),
        "repository": gettext("repository"),
        "metrics": gettext("metrics"),
    }
    return [Shown(names[one.key], one.result, one.says) for one in found]


def _permission_to_confirm(instance: Any) -> list[tuple[str, Environment | None]]:
    return [(requested_changes.OPERATIONS[instance.event][0], None)]


def _requested_change(row: RequestedChange) -> list[tuple[str, str]]:
    parties = [(gettext("requested by"), str(row.requested_by)), (gettext("reason"), row.reason)]
    return [*parties, *differences_of(row)]


def _changed_target(instance: Any) -> Fields:
    known = instance if isinstance(instance, DeploymentTarget) else DeploymentTarget()
    return {
        "root": _folder(known.root),
        "group": _key(_("group"), "group", known.group),
        **target_form.fields_of(known.options),
        "reason": text(_("reason")),
    }


def _configuration(instance: Any) -> Fields:
    account, where = access.current_account(), row(_("environment"), Environment)
    applications = read_rights(account).named
    where.queryset = Environment.objects.filter(
        pk__in=[
            place.pk
            for place in Environment.objects.all()
            if any(
                access.may(account, right, asked, application)
                for right, asked in configurations.rights_in(place)
                for application in (None, *applications)
            )
        ]
    )
    return {
        "application_id": row(_("application"), Application),
        "environment_id": where,
        "values": PairsField(label=_("values"), required=False),
        "secrets": PairsField(
            label=_("secrets (empty keeps the earlier value)"), required=False, widget=WriteOnly(attrs={"rows": 6})
        ),
        "reason": text(_("reason")),
    }


def _asked_anywhere(instance: Any) -> list[tuple[str, Environment | None]]:
    return [asked for place in Environment.objects.all() for asked in configurations.rights_in(place)]


def _adoption(instance: Any) -> Fields:
    chosen = row(_("configuration"), ConfigurationVersion)
    if isinstance(instance, DeploymentTarget):
        place = {"application": instance.application_id, "environment": instance.environment_id}
        chosen.queryset = ConfigurationVersion.objects.filter(**place)
    chosen.help_text = _(
        "Choose a configuration of this environment. The values must match those on the deployment target."
    )
    deployments = [("", "—"), ("runs", _("running now")), ("stopped", _("not running now")), ("none", _("no service"))]
    return {
        "version": text(_("version"), most=length(Release, "version")),
        "configuration_id": chosen,
        "service": forms.ChoiceField(label=_("service"), choices=deployments),
        "reason": text(_("reason")),
    }


def _compared(instance: Any, values: dict[str, Any]) -> list[Shown]:
    """Compare what is on the target with what the form says."""
    given = {name: values[name] for name in ("version", "configuration_id", "service")}
    words = register.part_words()
    return [
        Shown(words[one.key], one.result, f"{one.found}\n{one.says}".strip(), one.expected)
        for one in register.look(instance.pk, **given).rows
    ]


def _laying(instance: Any) -> Fields:
    beside = forms.BooleanField(label=_("place version even if the folder is not empty"), required=False)
    beside.help_text = _(
        "Ringi places the version beside the existing files and points current to this version. Ringi deletes nothing."
    )
    return {
        "version": text(_("version"), most=length(Release, "version")),
        "beside": beside,
        "reason": text(_("reason")),
    }


def _is_retired(target: DeploymentTarget) -> str:
    return gettext("%(name)s is already retired.") % {"name": target} if target.retired else ""


on_target = partial(Verb, "target", rights=("edit_target",), model=DeploymentTarget, signs=True, everywhere=True)
on_requested_change = partial(
    Verb,
    "requested_change",
    rights=("edit_target", "manage_accounts"),
    model=RequestedChange,
    asked=_permission_to_confirm,
    shows=_requested_change,
)
on_configuration = partial(Verb, "configuration", rights=("edit_target", "edit_configuration"))
on_deployed_version = partial(Verb, "deployed_version", rights=("register_version",), signs=True)
VERBS: tuple[Verb, ...] = (
    on_target(
        "create",
        _("Register deployment target"),
        _create,
        fields=_target,
        tries=_tried,
        try_label=_("Test target options"),
        makes=DeploymentTarget,
        from_file=True,
        model=None,
        everywhere=False,
    ),
    on_target(
        "set_options",
        _("Change folder and commands"),
        _set_settings,
        fields=_changed_target,
        tries=_tried,
        try_label=_("Test target options"),
    ),
    on_requested_change(
        "confirm",
        _("Confirm requested change"),
        requested_changes.confirm_change,
        signs=True,
        why_not_permitted=requested_changes.why_not_permitted,
    ),
    on_requested_change("reject", _("Reject requested change"), requested_changes.reject_change),
    on_target("measure", _("Measure now"), measure.ask, over=_is_retired, signs=False),
    on_target("retire", _("Retire deployment target"), retire.retire, danger=True, over=_is_retired),
    on_target(
        "reinstate",
        _("Reinstate deployment target"),
        retire.reinstate,
        over=lambda target: "" if target.retired else gettext("%(name)s is in use.") % {"name": target},
    ),
    on_configuration(
        "create",
        _("Create configuration"),
        configurations.create,
        fields=_configuration,
        asked=_asked_anywhere,
        makes=ConfigurationVersion,
    ),
    on_configuration(
        "check_connectivity",
        _("Check connectivity"),
        check_connectivity.check_connectivity,
        model=ConfigurationVersion,
        everywhere=True,
    ),
    on_deployed_version(
        "register",
        _("Register deployed version"),
        register.request_registration,
        model=DeploymentTarget,
        fields=_adoption,
        tries=_compared,
        try_label=_("Compare with target"),
    ),
    on_deployed_version(
        "place", _("Place version from repository"), install.install, model=DeploymentTarget, fields=_laying
    ),
    on_deployed_version(
        "confirm",
        _("Confirm deployed version"),
        register.register,
        model=DeployedVersion,
        why_not_permitted=register.why_not_permitted,
    ),
)

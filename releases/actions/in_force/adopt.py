"""in_force:propose and in_force:adopt: taking over what already runs on a target, measured there, by two people."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, ConfigurationVersion, Target
from releases.actions.release.repository import refreshed
from releases.actions.watch.place import configuration_of, spec_of
from releases.models import Deployment, InForce, Release
from releases.sources import git, versions
from releases.steps.base import StepFailed
from releases.steps.configuration_file import digest_of, rendered
from releases.steps.target import Measured, measure


def propose(target_id: int, *, version: str, configuration_id: int, reason: str) -> InForce:
    """Say as the first person which version runs on a target; its code is measured there and must be the tag's tree."""
    target, configuration, measured = _measured(target_id, configuration_id)
    try:
        text = versions.normalised(version)
    except versions.BadVersion as fault:
        raise Invalid(str(fault))
    tag = target.application.tag_format.format(version=text)
    try:
        seen = git.commit_facts(refreshed(target.application), tag)
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        raise Invalid(str(fault))
    with change("in_force:propose", (Target, target_id), reason=reason, sign=True) as act:
        account = access.require("adopt", target.environment)
        _untouched(target)
        if measured.code != seen.tree:
            raise GateClosed(_("On the target lies another tree than the one of %(tag)s.") % {"tag": tag})
        _configuration_lies_there(target, configuration, measured)
        release = Release.objects.filter(application=target.application, version=text, state="recorded").first()
        if release is not None and (release.commit, release.tree) != (seen.commit, seen.tree):
            text = _("%(version)s is recorded with commit %(recorded)s, and %(tag)s is %(seen)s.")
            raise GateClosed(
                text
                % {"version": release.version, "recorded": release.commit[:12], "tag": tag, "seen": seen.commit[:12]}
            )
        if release is None:
            release = Release.objects.create(
                application=target.application,
                version=text,
                title=_("Adopted: %(version)s") % {"version": text},
                author=account,
                tag=tag,
                commit=seen.commit,
                tree=seen.tree,
            )
            release.record()
            release.save()
        pointer, _made = InForce.objects.update_or_create(
            application=target.application,
            environment=target.environment,
            defaults={
                "release": release,
                "configuration": configuration,
                "code": measured.code,
                "configuration_digest": measured.configuration,
                "data": measured.data,
                "unknown": True,
                "since": now(),
                "how": InForce.PROPOSED,
                "proposed_by": account,
            },
        )
        act.about(pointer, by=account.pk, person=account.person_key)
        act.signature("adopt", measured.code)
    return pointer


def adopt(pointer_id: int, *, reason: str = "") -> InForce:
    """Confirm it as the second person; the target is measured again and must be as the first one saw it."""
    peek = InForce.objects.select_related("application", "environment").get(pk=pointer_id)
    target = Target.objects.get(application=peek.application, environment=peek.environment)
    if peek.configuration_id is None:
        raise Invalid(_("No configuration chosen for: %(environments)s") % {"environments": peek.environment})
    _target, _configuration, measured = _measured(target.pk, peek.configuration_id)
    with change("in_force:adopt", (InForce, pointer_id), reason=reason, sign=True) as act:
        pointer = act.get(InForce)
        account = access.require("adopt", pointer.environment)
        if pointer.how != InForce.PROPOSED:
            raise WrongState(_("Nothing waits to be adopted here."))
        if why := not_yours(account, pointer):
            raise NotYou(why)
        if (measured.code, measured.configuration) != (pointer.code, pointer.configuration_digest):
            raise GateClosed(_("The target is no longer as it was when it was proposed."))
        pointer.how, pointer.unknown, pointer.since = "adopted", False, now()
        act.signature("adopt", measured.code)
    return pointer


def not_yours(account: Account, pointer: InForce) -> str:
    """Return why a person may not confirm an adoption; empty when he may."""
    first = pointer.proposed_by
    if first is not None and first.person_key == account.person_key:
        return _("A second person must confirm this.")
    return ""


def _measured(target_id: int, configuration_id: int) -> tuple[Target, ConfigurationVersion, Measured]:
    target = Target.objects.select_related("application", "environment").filter(pk=target_id).first()
    configuration = ConfigurationVersion.objects.filter(pk=configuration_id).first()
    if target is None or configuration is None:
        raise Invalid(_("There is no such target or configuration."))
    try:
        return target, configuration, measure(spec_of(target), configuration_of(configuration.pk)[0])
    except StepFailed as fault:
        raise Invalid(str(fault))


def _configuration_lies_there(target: Target, configuration: ConfigurationVersion, measured: Measured) -> None:
    wanted = digest_of(rendered(spec_of(target), configuration_of(configuration.pk)[0]))
    if wanted != measured.configuration:
        raise GateClosed(
            _("On the target lies another configuration than version %(n)d.") % {"n": configuration.number}
        )


def _untouched(target: Target) -> None:
    if Deployment.objects.filter(application=target.application, environment=target.environment).exists():
        raise WrongState(_("Ringi has already run there."))
    if InForce.established(target.application, target.environment) is not None:
        raise WrongState(_("Something is in force there already."))

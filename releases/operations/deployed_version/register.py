"""deployed_version:register and deployed_version:confirm: two people register what already runs on a target, as
measured.
"""

from dataclasses import asdict, dataclass

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account, ConfigurationVersion, DeploymentTarget
from environments.models.environment import targets_in
from environments.targets.base import StepFailed
from environments.targets.examine import layout_of
from environments.targets.masking import clean
from environments.targets.measured import Measured, measure
from releases.models import DeployedVersion, Deployment, Release
from releases.queries.repository import refreshed
from releases.queries.target_comparison import RUNS, Row, compare
from releases.queries.target_spec import configuration_of, spec_of
from releases.sources import git, versions


@dataclass(frozen=True)
class Looked:
    """A target beside the version and the configuration that are said to run there."""

    target: DeploymentTarget
    configuration: ConfigurationVersion
    version: str
    tag: str
    seen: git.CommitFacts
    measured: Measured
    rows: list[Row]


def look(target_id: int, *, version: str, configuration_id: int, service: str) -> Looked:
    """Measure a target and compare it with a version, a configuration of its environment and the stated state of the
    service.

    service: "runs", "stopped" or "none". Raises InvalidInput where the comparison cannot be made.
    """
    target = target_named(target_id)
    access.require("register_version", target.environment, application=target.application_id)
    configuration = ConfigurationVersion.objects.filter(
        pk=configuration_id, application=target.application, environment=target.environment
    ).first()
    if configuration is None:
        raise InvalidInput(_("Choose a configuration of %(target)s.") % {"target": target})
    if service not in RUNS:
        raise InvalidInput(_("Say whether the service runs now."))
    values, secrets = configuration_of(configuration.pk)
    try:
        text = versions.normalised(version)
        tag = target.application.tag_format.format(version=text)
        seen = git.commit_facts(refreshed(target.application), tag)
        spec = spec_of(target)
        measured, lies = measure(spec, values), layout_of(spec)
        rows = compare(
            spec,
            lies,
            measured,
            tag=tag,
            tree=seen.tree,
            number=configuration.number,
            values=values,
            secrets=secrets,
            service=service,
        )
    except (versions.BadVersion, git.SourceUnavailable, git.NoSuchRevision, StepFailed) as fault:
        raise InvalidInput(clean(str(fault), secrets)) from fault
    return Looked(target, configuration, text, tag, seen, measured, rows)


def request_registration(
    target_id: int, *, version: str, configuration_id: int, service: str, reason: str
) -> DeployedVersion:
    """State as the first person which version runs on a target; the measurement must agree."""
    named = target_named(target_id)
    if not access.may(access.current_account(), "register_version", named.environment, named.application_id):
        with operation("deployed_version:register", (DeploymentTarget, target_id), reason=reason, sign=True):
            raise access.lacking("register_version", named.environment)
    looked = look(target_id, version=version, configuration_id=configuration_id, service=service)
    target, configuration, measured, seen = looked.target, looked.configuration, looked.measured, looked.seen
    text, tag = looked.version, looked.tag
    others = _others_that_differ(target, configuration, measured)
    with operation("deployed_version:register", (DeploymentTarget, target_id), reason=reason, sign=True) as op:
        account = access.require("register_version", target.environment)
        require_untouched(target)
        if wrong := [row for row in looked.rows if row.result == "failed"]:
            raise GateNotPassed(*(_difference(row) for row in wrong))
        if others:
            raise GateNotPassed(*others)
        op.details["service"] = service
        release = Release.objects.filter(application=target.application, version=text, state="imported").first()
        if release is not None and (release.commit, release.tree) != (seen.commit, seen.tree):
            text = _("%(version)s was imported with commit %(recorded)s, but %(tag)s is %(seen)s.")
            raise GateNotPassed(
                text
                % {"version": release.version, "recorded": release.commit[:12], "tag": tag, "seen": seen.commit[:12]}
            )
        if release is None:
            release = Release.objects.create(
                application=target.application,
                version=text,
                title=_("Registered deployed version: %(version)s") % {"version": text},
                author=account,
                tag=tag,
                commit=seen.commit,
                tree=seen.tree,
            )
            release.mark_imported()
            release.save()
        pointer = DeployedVersion.record(
            target.application,
            target.environment,
            asdict(measured),
            release=release,
            configuration=configuration,
            unknown=True,
            basis=DeployedVersion.REQUESTED,
            requested_by=account,
        )
        op.about(pointer, by=account.pk, person=account.person_key)
        op.signature(measured.code)
    return pointer


def register(pointer_id: int, *, reason: str = "") -> DeployedVersion:
    """Confirm it as the second person; the target is measured again and must be as the first person saw it."""
    unlocked = DeployedVersion.objects.select_related("application", "environment").get(pk=pointer_id)
    target = targets_in(unlocked.application, unlocked.environment)[0]
    if not access.may(access.current_account(), "register_version", target.environment, target.application_id):
        with operation("deployed_version:confirm", (DeployedVersion, pointer_id), reason=reason, sign=True):
            raise access.lacking("register_version", target.environment)
    if unlocked.configuration_id is None:
        raise InvalidInput(_("No configuration chosen for: %(environments)s") % {"environments": unlocked.environment})
    try:
        measured = measure(spec_of(target), configuration_of(unlocked.configuration_id)[0])
    except StepFailed as fault:
        raise InvalidInput(str(fault)) from fault
    with operation("deployed_version:confirm", (DeployedVersion, pointer_id), reason=reason, sign=True) as op:
        pointer = op.get(DeployedVersion)
        account = access.require("register_version", pointer.environment)
        if pointer.basis != DeployedVersion.REQUESTED:
            raise NotPossible(_("No registration of a deployed version awaits confirmation here."))
        if why := why_not_permitted(account, pointer):
            raise NotPermitted(why)
        access.require_still(pointer.requested_by, "register_version", pointer.environment)
        if (measured.code, measured.configuration) != (pointer.code, pointer.configuration_digest):
            raise GateNotPassed(_("The deployment target has changed since the registration was requested."))
        pointer.basis, pointer.unknown, pointer.since = "registered", False, now()
        op.signature(measured.code)
    return pointer


def why_not_permitted(account: Account, pointer: DeployedVersion) -> str:
    """Return why a person may not confirm a registration; empty when they may."""
    first = pointer.requested_by
    if first is not None and account.is_among(first.identities):
        return _("A second person must confirm this.")
    return ""


def target_named(target_id: int) -> DeploymentTarget:
    """Return a target with its application and environment; raises InvalidInput for an unknown one."""
    target = DeploymentTarget.objects.select_related("application", "environment").filter(pk=target_id).first()
    if target is None:
        raise InvalidInput(_("This deployment target or configuration does not exist."))
    return target


def _others_that_differ(target: DeploymentTarget, configuration: ConfigurationVersion, measured: Measured) -> list[str]:
    """Return a sentence for each other target of the environment that does not show the same code and configuration."""
    found = []
    for other in targets_in(target.application, target.environment):
        if other.pk != target.pk:
            try:
                seen = measure(spec_of(other), configuration_of(configuration.pk)[0], data=False)
            except StepFailed as fault:
                found.append(f"{other}: {fault}")
                continue
            if (seen.code, seen.configuration) != (measured.code, measured.configuration):
                found.append(_("%(target)s shows other code or another configuration.") % {"target": other})
    return found


def _difference(row: Row) -> str:
    text = _("%(what)s: expected %(expected)s, found %(found)s. %(says)s")
    words = {"what": part_words()[row.key], "expected": row.expected, "found": row.found, "says": row.says}
    return (text % words).strip()


def part_words() -> dict[str, str]:
    """Return the readable names of the parts that are compared."""
    return {
        "layout": _("layout"),
        "code": _("code"),
        "configuration": _("configuration"),
        "service": _("service"),
        "schema": _("database schema"),
    }


def require_untouched(target: DeploymentTarget) -> None:
    """Raise NotPossible where Ringi has already deployed, or a version is registered."""
    if Deployment.objects.filter(application=target.application, environment=target.environment).exists():
        raise NotPossible(_("This deployment target already has a deployment by Ringi."))
    if DeployedVersion.established(target.application, target.environment) is not None:
        raise NotPossible(_("A deployed version is already registered for this deployment target."))

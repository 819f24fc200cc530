"""configuration:check_connectivity: look whether the services that a version names can be reached from here (E2)."""

from dataclasses import asdict

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid
from environments import access, reach
from environments.actions.configuration.create import rights_in
from environments.models import ConfigurationCheck, ConfigurationVersion, DeploymentTarget
from environments.reach.addresses import Network, listed_by


def examine(version_id: int) -> ConfigurationCheck:
    """Reach database, cache and storage of a version and keep what was found, without any value.

    Nothing of the network is asked inside the door. Raises NotYou, and Invalid for a version that names no service.
    """
    version = ConfigurationVersion.objects.select_related("environment").filter(pk=version_id).first()
    if version is None:
        raise Invalid(_("The selected configuration does not exist."))
    account = access.current_account()
    found = reach.look(version.opened(), _listed(version)) if _may(version) else []
    with change("configuration:check_connectivity", (ConfigurationVersion, version_id)) as act:
        if not _may(version):
            raise access.lacking("configure", version.environment)
        if not found:
            raise Invalid(_("This version contains no address of a database, cache or storage."))
        check = ConfigurationCheck.objects.create(
            version=version,
            results=[asdict(one) | {"seconds": str(one.seconds)} for one in found],
            reachable=all(one.verdict == "pass" for one in found),
            checked_by=account,
            at=now(),
        )
        act.details.update(reached=check.reachable, keys=[one.key for one in found])
    return check


def _listed(version: ConfigurationVersion) -> tuple[Network, ...]:
    target = DeploymentTarget.objects.filter(
        application=version.application_id, environment=version.environment_id
    ).first()
    return listed_by(target.options) if target is not None else ()


def _may(version: ConfigurationVersion) -> bool:
    acting = access.current_account()
    return any(access.may(acting, right, place) for right, place in rights_in(version.environment))

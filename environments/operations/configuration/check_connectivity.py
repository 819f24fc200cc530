"""configuration:check_connectivity: look whether the services that a version names can be reached from here (E2)."""

from dataclasses import asdict

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access, connectivity
from environments.connectivity.addresses import Network, listed_by
from environments.models import ConfigurationCheck, ConfigurationVersion, DeploymentTarget
from environments.operations.configuration.create import rights_in


def check_connectivity(version_id: int) -> ConfigurationCheck:
    """Reach database, cache and storage of a version and keep what was found, without any value.

    Nothing of the network is asked inside the operation. Raises NotPermitted, and InvalidInput for a version that names
    no service.
    """
    version = ConfigurationVersion.objects.select_related("environment").filter(pk=version_id).first()
    if version is None:
        raise InvalidInput(_("The selected configuration does not exist."))
    account = access.current_account()
    found = connectivity.look(version.opened(), _listed(version)) if _may(version) else []
    with operation("configuration:check_connectivity", (ConfigurationVersion, version_id)) as op:
        if not _may(version):
            raise access.lacking("edit_configuration", version.environment)
        if not found:
            raise InvalidInput(_("This version contains no address of a database, cache or storage."))
        check = ConfigurationCheck.objects.create(
            version=version,
            results=[asdict(one) | {"seconds": str(one.seconds)} for one in found],
            reachable=all(one.result == "passed" for one in found),
            checked_by=account,
            at=now(),
        )
        op.details.update(reached=check.reachable, keys=[one.key for one in found])
    return check


def _listed(version: ConfigurationVersion) -> tuple[Network, ...]:
    targets = DeploymentTarget.objects.filter(application=version.application_id, environment=version.environment_id)
    return tuple(network for target in targets for network in listed_by(target.options))


def _may(version: ConfigurationVersion) -> bool:
    acting = access.current_account()
    return any(
        access.may(acting, right, place, version.application_id) for right, place in rights_in(version.environment)
    )

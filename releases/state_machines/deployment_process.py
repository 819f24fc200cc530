"""The states of a version of a deployment process, which itself needs approval."""

from releases.state_machines.version import VersionMachine


class DeploymentProcessMachine(VersionMachine):
    """draft → in_review → in_effect → retired."""

    class Meta:
        abstract = True

"""The check type that compares the configuration on the target with the deployed version, byte for byte."""

from typing import Any, ClassVar

from environments.targets.base import Parameters, StepFailed
from environments.targets.configuration_file import configuration_digest, digest_of, path_of, rendered
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck


class ConfigurationDigestParameters(Parameters):
    """No parameters: the check compares with the deployment's configuration."""


class ConfigurationDigest(TargetCheck):
    """Compares the SHA-256 of the configuration file with that of the rendered version; shows no value of it."""

    name: ClassVar[str] = "configuration_digest"
    parameters: ClassVar[type[Parameters]] = ConfigurationDigestParameters

    def look(self, context: CheckContext, parameters: Any) -> CheckResult:
        """Compare once. Without a version it is no data."""
        if not context.configuration:
            return CheckResult(Result.NO_DATA, output=_("The deployment has no configuration."))
        try:
            wanted = digest_of(rendered(context.target, context.configuration))
            found = configuration_digest(context.target)
        except StepFailed as failed:
            return CheckResult(Result.ERROR, output=str(failed))
        except OSError as error:
            return CheckResult(Result.ERROR, limit=f"= {wanted[:12]}", output=error.strerror or str(error))
        kept = path_of(context.target)
        path = kept.name if kept is not None else _("The configuration")
        if not found:
            said = _("%(path)s is not there.") % {"path": path}
        elif found == wanted:
            said = _("%(path)s is the deployed version.") % {"path": path}
        else:
            said = _("%(path)s was changed after the deployment, or is another version.") % {"path": path}
        result = Result.PASSED if found == wanted else Result.FAILED
        return CheckResult(result, found[:12], f"= {wanted[:12]}", f"{said}\n{found}\n{wanted}")

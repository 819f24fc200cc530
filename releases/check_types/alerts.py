"""The check type for firing alerts; used by deployments and monitoring."""

from typing import ClassVar

from pydantic import model_validator

from environments.targets.base import Parameters
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result
from releases.check_types.excerpt import excerpt
from releases.metric_sources.alert_list import AlertListParameters, NoAlertList, above, firing


class AlertsParameters(AlertListParameters):
    """highest: the highest level that may fire; empty = none may. The other fields say where alerts are listed."""

    highest: str = "info"

    @model_validator(mode="after")
    def _is_a_level(self) -> "AlertsParameters":
        if self.highest and self.highest not in self.levels:
            raise ValueError(_("highest must be one of the levels: %(levels)s") % {"levels": ", ".join(self.levels)})
        return self


class Alerts(CheckType):
    """Reads firing alerts above a level from an Alertmanager or a JSON list."""

    name: ClassVar[str] = "alerts"
    parameters: ClassVar[type[Parameters]] = AlertsParameters

    def run(self, context: CheckContext, parameters: AlertsParameters) -> CheckResult:
        """Check once. A missing list is an error; a target that names none is no data."""
        limit = _("none above %(level)s") % {"level": parameters.highest} if parameters.highest else _("none")
        try:
            found = firing(context.target, parameters)
        except NoAlertList as error:
            result = Result.NO_DATA if error.missing else Result.ERROR
            return CheckResult(result, limit=limit, output=str(error))
        high = above(found, parameters.highest, parameters.levels)
        value = _("%(high)d of %(all)d firing") % {"high": len(high), "all": len(found)}
        lines = [f"{alert.level}: {alert.name} ({alert.started or '–'})" for alert in [*high, *found]]
        output = excerpt(dict.fromkeys(lines), context) or _("No alert is firing.")
        return CheckResult(Result.FAILED if high else Result.PASSED, value, limit, output)

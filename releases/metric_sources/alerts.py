"""The metric source that counts alerts: firing ones, and those that began in the last hour; used by monitoring."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import model_validator

from environments.targets.base import Parameters, TargetSpec
from environments.targets.words import gettext as _
from releases.metric_sources.alert_list import AlertListParameters, NoAlertList, above, firing
from releases.metric_sources.base import NOTHING, MetricSource, Reading

HOUR = 3600.0
MOST = 1000
ALERT = "alert:"


class AlertsSourceParameters(AlertListParameters):
    """least: the lowest level that counts; an unknown level counts. The other fields say where alerts are listed."""

    least: str = "warning"

    @model_validator(mode="after")
    def _is_a_level(self) -> "AlertsSourceParameters":
        if self.least not in self.levels:
            raise ValueError(_("least must be one of the levels: %(levels)s") % {"levels": ", ".join(self.levels)})
        return self


class Alerts(MetricSource):
    """Counts alerts of a level and above: alerts_firing, and alerts_per_hour, including ended ones."""

    name: ClassVar[str] = "alerts"
    parameters: ClassVar[type[Parameters]] = AlertsSourceParameters

    def read(
        self, target: TargetSpec, parameters: AlertsSourceParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Read once; raw numbers are `alerts_firing` and, for each firing alert, `alert:<key>:<began>` → began."""
        at = datetime.now(UTC)
        try:
            found = firing(target, parameters)
        except NoAlertList as error:
            return Reading(at, False, {}, str(error))
        place = parameters.levels.index(parameters.least)
        high = above(found, parameters.levels[place - 1] if place else "", parameters.levels)
        values = {"alerts_firing": float(len(high))}
        for alert in high[:MOST]:
            began = (alert.started or at).timestamp()
            # An alert without a start is the same one at the next reading.
            values[f"{ALERT}{alert.key}:{began if alert.started else ''}"] = began
        return Reading(at, True, values)

    def provides(self, parameters: AlertsSourceParameters) -> frozenset[str]:
        """Return both counts."""
        return frozenset({"alerts_firing", "alerts_per_hour"})

    def remember(self, earlier: Reading | None, now: Reading, parameters: AlertsSourceParameters) -> Reading:
        """Keep the alerts that began within the hour and have ended."""
        since = now.at.timestamp() - HOUR
        kept = {
            name: began
            for name, began in (earlier.values if earlier is not None else {}).items()
            if name.startswith(ALERT) and began > since
        }
        if not now.up:
            return now
        return Reading(now.at, now.up, {**now.values, **kept}, now.error, now.stale)

    def derive(
        self, earlier: Reading | None, now: Reading, parameters: AlertsSourceParameters
    ) -> dict[str, float | None]:
        """Return both counts; None for both without an answer."""
        if not now.up:
            return {"alerts_firing": None, "alerts_per_hour": None}
        since = now.at.timestamp() - HOUR
        known = self.remember(earlier, now, parameters).values
        begun = sum(1 for name, began in known.items() if name.startswith(ALERT) and began > since)
        return {"alerts_firing": now.values.get("alerts_firing"), "alerts_per_hour": float(begun)}

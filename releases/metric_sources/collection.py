"""Reads a target through all its sources at once, as its options say; called by monitoring and when options are set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from environments.targets.base import Parameters, TargetSpec
from environments.targets.words import gettext as _
from releases.metric_sources import UnknownSource, source
from releases.metric_sources.base import MetricSource, Reading
from releases.procedures.places import message_of

# The sources of a target whose options name none.
USUAL: tuple[Mapping[str, Any], ...] = ({"source": "prometheus_text", "parameters": {}},)
MOST_SOURCES = 5


@dataclass(frozen=True)
class Place:
    """One source of a target: its key among them, the source, its parameters."""

    key: str
    source: MetricSource
    parameters: Parameters

    @property
    def provides(self) -> frozenset[str]:
        """Return the metrics that the source can provide."""
        return self.source.provides(self.parameters)


@dataclass(frozen=True)
class Looked:
    """One measurement through all sources. up: the first one answered; `unreadable` names the metrics of failed others.

    values: metric → value. unreadable: metric → stale or error. raw: key of a source → its last answer, for the
    next measurement.
    """

    at: datetime
    up: bool
    values: dict[str, float | None]
    unreadable: dict[str, str]
    raw: dict[str, Any]
    error: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


class WrongSources(ValueError):
    """Invalid metric sources of a target; the message says where and why."""


def places_of(settings: Mapping[str, Any]) -> list[Place]:
    """Return the sources of a target's options (`metric_sources`: list of {source, parameters}). Raises
    WrongSources.
    """
    rows = settings.get("metric_sources", USUAL)
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not 0 < len(rows) <= MOST_SOURCES:
        raise WrongSources(_("“metric_sources” must be a list of one to %(most)d sources.") % {"most": MOST_SOURCES})
    places: list[Place] = []
    for number, row in enumerate(rows):
        where = f"metric_sources.{number}"
        if not isinstance(row, Mapping) or not set(row) <= {"source", "parameters"} or "source" not in row:
            raise WrongSources(_("%(where)s must have “source” and “parameters”.") % {"where": where})
        try:
            known = source(str(row["source"]))
            parameters = known.parameters.model_validate(row.get("parameters", {}))
        except UnknownSource:
            text = _("%(where)s names an unknown source: %(name)s")
            raise WrongSources(text % {"where": where, "name": row["source"]}) from None
        except ValidationError as invalid:
            faults = [f"{'.'.join([where, *map(str, e['loc'])])}: {message_of(e)}" for e in invalid.errors()]
            raise WrongSources("; ".join(faults)) from None
        again = sum(1 for place in places if place.source.name == known.name)
        places.append(Place(f"{known.name}#{again + 1}" if again else known.name, known, parameters))
    return places


def look(
    target: TargetSpec, places: Sequence[Place], earlier: Mapping[str, Any], configuration: Mapping[str, str]
) -> Looked:
    """Read each source once, one after the other; the first source of a metric wins.

    earlier: `raw` of the last measurement. configuration: given to the sources that need it.
    """
    at = datetime.now(UTC)
    values: dict[str, float | None] = {}
    unreadable: dict[str, str] = {}
    raw: dict[str, Any] = {}
    errors: dict[str, str] = {}
    up = False
    for number, place in enumerate(places):
        given = configuration if place.source.needs_configuration else {}
        reading = place.source.read(target, place.parameters, given)
        before = _opened(earlier.get(place.key))
        up = reading.up if number == 0 else up
        if reading.error:
            errors[place.key] = reading.error
        found = place.source.derive(before, reading, place.parameters)
        unresponsive = not reading.up and not place.source.own(place.parameters)
        broken = unresponsive or (bool(reading.error) and not reading.values and reading.up)
        for name, value in found.items():
            if name in values:
                continue
            values[name] = value
            if name == "service_down" and value is not None and not reading.stale:
                continue
            if reading.stale:
                values[name], unreadable[name] = None, "stale"
            elif broken and value is None:
                unreadable[name] = "error"
        kept = place.source.remember(before, reading, place.parameters) if reading.up else before
        if kept is not None:
            raw[place.key] = {"at": kept.at.isoformat(), "values": kept.values}
    error = "; ".join(f"{key}: {text}" if len(places) > 1 else text for key, text in errors.items())
    return Looked(at, up, values, unreadable, raw, error, errors)


def _opened(kept: Any) -> Reading | None:
    if not isinstance(kept, Mapping):
        return None
    return Reading(datetime.fromisoformat(kept["at"]), True, dict(kept["values"]))

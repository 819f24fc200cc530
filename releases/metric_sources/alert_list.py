"""Reads the firing alerts of a target, from an Alertmanager or any JSON list; called by check and source."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from environments.targets.base import Parameters, TargetSpec
from environments.targets.json_paths import ABSENT, at_path
from environments.targets.words import gettext as _
from releases.metric_sources.fetch import NoAnswer, ask

ACTIVE = "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"


class AlertListParameters(Parameters):
    """The address of the alert list and the names of its parts.

    url: empty = `alerts_url` of the target. shape: alertmanager = the address of an Alertmanager, queried by its API
    v2; json = the address of a list. labels: the labels of this target's alerts (name → value).
    level_label: the label that holds the level. levels: the known ones, lowest first. always: the name of an alert that
    always fires, whatever its labels; it is no alert itself, and without it an empty list proves nothing.
    For json, dotted paths: items (to the list; empty = the answer is the list), name, level, started (RFC 3339),
    state; an alert fires while its state is one of `firing`; with an empty `state` all listed ones fire.
    """

    url: str = ""
    shape: Literal["alertmanager", "json"] = "alertmanager"
    labels: dict[str, str] = Field(default_factory=dict)
    level_label: str = "severity"
    levels: tuple[str, ...] = Field(default=("none", "info", "warning", "critical"), min_length=1)
    always: str = ""
    items: str = ""
    name: str = "name"
    level: str = "level"
    started: str = "started"
    state: str = ""
    firing: tuple[str, ...] = ("firing", "active")
    seconds: float = Field(default=5.0, gt=0, le=5)


@dataclass(frozen=True)
class Alert:
    """One firing alert. key: the same at each reading while it fires; started: None when the list does not say."""

    key: str
    name: str
    level: str
    started: datetime | None


class NoAlertList(Exception):
    """A missing list of alerts; the message says why. `missing`: the target names none."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def firing(target: TargetSpec, parameters: AlertListParameters) -> list[Alert]:
    """Return the firing alerts. Raises NoAlertList."""
    url = parameters.url or str(target.settings.get("alerts_url", ""))
    if not url:
        raise NoAlertList(_("The target options have no “alerts_url”."), missing=True)
    if parameters.shape == "alertmanager" and not urlsplit(url).query:
        url = url.rstrip("/") + ACTIVE
    try:
        answer = ask(url, target, seconds=parameters.seconds)
    except NoAnswer as error:
        raise NoAlertList(str(error)) from error
    if answer.status != 200:
        raise NoAlertList(_("The page answered %(status)s.") % {"status": answer.status})
    try:
        content = json.loads(answer.body)
    except ValueError as error:
        raise NoAlertList(_("The body is not JSON.")) from error
    rows = content if parameters.shape == "alertmanager" else at_path(content, parameters.items)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NoAlertList(_("The answer holds no list of alerts."))
    read = _from_alertmanager if parameters.shape == "alertmanager" else _from_json
    moment, all_labels = datetime.now(UTC), parameters.model_copy(update={"labels": {}})
    if not parameters.always:
        return list(read(rows, parameters, moment))
    if all(alert.name != parameters.always for alert in read(rows, all_labels, moment)):
        text = _("The alert “%(name)s” always fires, and is missing: the list may lack others.")
        raise NoAlertList(text % {"name": parameters.always})
    return [alert for alert in read(rows, parameters, moment) if alert.name != parameters.always]


def above(alerts: list[Alert], highest: str, levels: tuple[str, ...]) -> list[Alert]:
    """Return the alerts above a level; an unknown level counts as above. highest "": all are above."""
    allowed = levels[: levels.index(highest) + 1] if highest else ()
    return [alert for alert in alerts if alert.level not in allowed]


def _from_alertmanager(rows: list[Any], parameters: AlertListParameters, moment: datetime) -> Iterator[Alert]:
    for row in rows:
        labels = row.get("labels") if isinstance(row.get("labels"), dict) else {}
        ends = _time(row.get("endsAt"))
        if at_path(row, "status.state") not in ("active", ABSENT) or (ends is not None and ends <= moment):
            continue
        if any(labels.get(name) != value for name, value in parameters.labels.items()):
            continue
        key = str(row.get("fingerprint") or _digest(labels))
        level = str(labels.get(parameters.level_label, ""))
        yield Alert(key, str(labels.get("alertname", "")), level, _time(row.get("startsAt")))


def _from_json(rows: list[Any], parameters: AlertListParameters, _moment: datetime) -> Iterator[Alert]:
    for row in rows:
        state = at_path(row, parameters.state)
        if state == ABSENT:
            raise NoAlertList(_("An alert has no “%(path)s”.") % {"path": parameters.state})
        if parameters.state and str(state) not in parameters.firing:
            continue
        if any(str(at_path(row, name)) != value for name, value in parameters.labels.items()):
            continue
        name, level = (str(at_path(row, path)) for path in (parameters.name, parameters.level))
        started = _time(at_path(row, parameters.started))
        yield Alert(_digest([name, level, str(started)]), name, level, started)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _time(text: Any) -> datetime | None:
    """Return an aware time; None for an invalid one, and for Go's zero time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment if moment.year > 1 else None

"""The schema of a deployment target's options, for the form, the API, the demo and the operations."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from environments.language import listed
from environments.secret_detection import reveals_secret
from environments.targets.configuration_file import Kept
from environments.targets.container import Container
from environments.targets.sandbox import opens_ours
from environments.targets.service_settings import Service
from environments.targets.ssh.place import Place
from releases.procedures.places import message_of


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(_("write an http or https address, such as http://127.0.0.1:8000/health"))
    return text


def _below(text: str) -> str:
    if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
        raise ValueError(_("write a path below the folder of the deployment target, such as shared/app.log"))
    return text


def _opened(text: str) -> str:
    if not PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
        raise ValueError(_("write an absolute path without “..”, such as /opt/java"))
    if ours := opens_ours(text):
        raise ValueError(_("%(path)s contains Ringi's own files, which no program may read") % {"path": ours})
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as wrong:
        raise ValueError(_("is not a regular expression: %(fault)s") % {"fault": wrong}) from wrong
    return text


# Most characters of a text.
LONGEST = 2000
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=LONGEST)]
Command = Annotated[tuple[Text, ...], Field(min_length=1)]
Address = Annotated[Text, AfterValidator(_address)]
Below = Annotated[Text, AfterValidator(_below)]
Opened = Annotated[Text, AfterValidator(_opened)]
Pattern = Annotated[Text, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_left_out(cls, given: Any) -> Any:
        """Refuse null: readers of a setting expect a value or no such key."""
        if isinstance(given, Mapping) and (empty := [str(name) for name, value in given.items() if value is None]):
            raise ValueError(_("leave out keys without a value: %(names)s") % {"names": listed(empty)})
        return given


class Urls(_Part):
    """Addresses that checks call."""

    base: Address | None = None


class Ansible(_Part):
    """Playbooks of the steps `ansible_playbook`; the inventory is the text of a file, or an object."""

    inventory: str | dict[str, Any] | None = None
    playbook: Below = ""
    program: Text = ""


class Programs(_Part):
    """Paths that the target's programs see beside its folder and the system: to read and run, and to write."""

    read: tuple[Opened, ...] = ()
    write: tuple[Opened, ...] = ()


class DataCommands(_Part):
    """Commands of a data store that Ringi does not know; `{dump}` is the path of a dump."""

    digest: Command
    dump: Command
    restore: Command
    verify: Command | None = None


class TargetSettings(_Part):
    """All settings. The readers of `metric_sources`, `outbound_hosts` and `private_networks` check these."""

    service: Service | None = None
    container: Container | None = None
    migrate: Command | None = None
    migrate_check: Command | None = None
    migrate_back: Command | None = None
    database_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "DATABASE_URL"
    postgres_bin: Text = ""
    data_folder: Below = ""
    data_commands: DataCommands | None = None
    configuration: Kept | None = None
    urls: Urls | None = None
    log: Below = "shared/app.log"
    log_error_pattern: Pattern = ""
    metrics_url: Address | None = None
    prometheus_url: Address | None = None
    alerts_url: Address | None = None
    trusted_certificates: Text = ""
    programs: Programs | None = None
    ssh: Place | None = None
    ansible: Ansible | None = None
    metric_sources: Any = None
    http_hosts: Any = None
    private_networks: Any = None


def keys(model: type[BaseModel] = TargetSettings, above: str = "") -> Iterator[str]:
    """Yield every setting by its dotted name ("service.ready.url"), in the order of the schema."""
    for name, field in model.model_fields.items():
        inner = _part_in(field.annotation)
        if inner is None:
            yield above + name
        else:
            yield from keys(inner, f"{above}{name}.")


def _part_in(annotation: Any) -> type[BaseModel] | None:
    for found in (annotation, *get_args(annotation)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def faults_by_key(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return dotted name → a message for each of its faults; empty for valid settings."""
    try:
        TargetSettings.model_validate(dict(settings))
    except ValidationError as wrong:
        found: dict[str, list[str]] = defaultdict(list)
        for error in wrong.errors(include_url=False, include_input=False):
            # Pydantic's additions for the members of a union are left out.
            key = ".".join(str(part) for part in error["loc"] if "[" not in str(part) and part != "str")
            if (message := _message(key, error)) not in found[key]:
                found[key].append(message)
        return dict(found)
    text = _(
        "The option “%(key)s” contains a password or another secret. Options are stored in plain text. Enter "
        "the secret in the environment's configuration instead."
    )
    return {key: [text % {"key": key}] for key in reveals_secret(settings)}


def faults_in(settings: Mapping[str, Any]) -> list[str]:
    """Return all messages."""
    return [message for sentences in faults_by_key(settings).values() for message in sentences]


def _message(key: str, error: Any) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown(key)
    sentences = {
        "tuple_type": _("must be a list of texts, one for each part of the command"),
        "model_type": _("must be an object with options of its own"),
        "string_pattern_mismatch": _("has a character that is not allowed there"),
    }
    message = sentences.get(kind) or message_of(error)
    return _("The option “%(key)s”: %(fault)s.") % {"key": key, "fault": message}


def _unknown(key: str) -> str:
    above, _dot, name = key.rpartition(".")
    known = sorted(
        {
            other.removeprefix(f"{above}.").partition(".")[0]
            for other in keys()
            if not above or other.startswith(f"{above}.")
        }
    )
    there = [f"{above}.{other}" if above else other for other in known]
    # A misspelt name may belong on another level altogether.
    near = get_close_matches(key, [*there, *keys()], 1, 0.75) or get_close_matches(key, there, 1, 0.0)
    if not near:
        return _("“%(key)s” is not an option of a deployment target.") % {"key": key}
    text = _(
        "“%(key)s” is not an option of a deployment target. The nearest option is “%(near)s”. Options allowed "
        "there: %(known)s."
    )
    return text % {"key": key, "near": near[0], "known": listed(known)}

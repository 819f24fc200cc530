"""The files of a definition, and the resources that they describe.

`applications/<key>.toml`, `processes/<key>.toml`, `procedure/*.toml`, `procedures/<key>/*.toml`, `calendar.toml`,
`access.toml` and `recipients.toml`. A file, folder or list that is left out is left alone.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import rfc8785
import tomli_w
from django.utils.translation import gettext as _
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from environments.models import Application as ApplicationRow
from environments.secret_detection import reveals_secret
from releases.models import Procedure as ProcedureRow
from releases.procedures import save
from releases.procedures.document import Procedure
from releases.procedures.places import Fault, ProcedureFaults, fault_at, lines_of, message_of
from releases.procedures.process import Process
from releases.procedures.values import ApplicationKey, Key, Slug
from releases.queries.procedure_types import procedure_types
from releases.queries.target_schema import faults_by_key

MOST_BYTES = 2_000_000
APPLICATION_KEY = re.compile(r"[-a-zA-Z0-9_]+")
# Kind of resource and its key: ("target", application, environment, name).
Address = tuple[str, ...]
Resources = dict[Address, dict[str, Any]]
# What a resource says of itself, and what nothing compares.
BESIDE = frozenset({"reason", "first_day"})


def _is_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(_("has a character that is not printed"))
    return text


# As long as the columns are; what is in them comes back as it was.
Text = Annotated[str, StringConstraints(pattern=r"\S", max_length=300), AfterValidator(_is_line)]
Long = Annotated[str, StringConstraints(pattern=r"\S", max_length=400), AfterValidator(_is_line)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Documents(_Part):
    """Branch and folder that take the published documents."""

    branch: Text
    folder: str = ""


class Forge(_Part):
    """Where merge requests are read, and the formats of tickets."""

    provider: Literal["github", "gitlab"]
    url: Long
    project: Text
    tickets: str = ""


class Target(_Part):
    """A deployment target; options as in its form."""

    environment: Slug
    name: Annotated[ApplicationKey, Field(max_length=40)] = "main"
    group: str = ""
    root: Long
    options: dict[str, Any] = {}


class Application(_Part):
    """An application with its targets. signers: the trusted public keys."""

    name: Text
    group: str = ""
    repository: Long
    tag_format: Text = "v{version}"
    signers: str = ""
    documents: Documents | None = None
    forge: Forge | None = None
    targets: tuple[Target, ...] = ()

    @field_validator("signers")
    @classmethod
    def one_form(cls, text: str) -> str:
        """Return keys as the system keeps them."""
        return text.replace("\r\n", "\n").strip() + "\n" if text.strip() else ""


class Holiday(_Part):
    """A non-working day beside the national ones."""

    day: date
    ja: Text
    en: Text


class Freeze(_Part):
    """A freeze, once (begins, ends) or recurring (rrule, start, length_minutes, first_day, last_day)."""

    name: Text
    environment: Slug
    application: str = ""
    full: bool = False
    reason: Text
    begins: datetime | None = None
    ends: datetime | None = None
    rrule: str = ""
    start: time | None = None
    length_minutes: int = 0
    first_day: date | None = None
    last_day: date | None = None

    @field_validator("begins", "ends")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError(_("needs an offset, such as 2027-01-04T09:00:00+09:00"))
        return moment.astimezone(UTC) if moment is not None else None

    @model_validator(mode="after")
    def _once_or_recurring(self) -> Self:
        once = self.begins is not None and self.ends is not None
        recurring = bool(self.rrule) and None not in (self.start, self.first_day, self.last_day)
        if once == recurring:
            raise ValueError(_("needs begins and ends, or rrule, start, length_minutes, first_day and last_day"))
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """Return what tells two freezes apart: one is never edited."""
        times = [self.begins, self.ends] if self.begins else [self.rrule.upper(), self.start, self.length_minutes]
        said = [str(one) for one in (*times, self.last_day or "")]
        return self.environment, self.application, self.name, " ".join(said), "full" if self.full else ""


class GroupRole(_Part):
    """A role for the members of a group at the identity provider."""

    group: Text
    role: Key
    environment: str = ""
    application: str = ""
    application_group: str = ""
    reason: Text


class Recipient(_Part):
    """A person with an account in a recipient group."""

    group: Key
    account: Text


class Calendar(_Part):
    """The file calendar.toml."""

    holidays: tuple[Holiday, ...] | None = None
    freezes: tuple[Freeze, ...] | None = None


class Access(_Part):
    """The file access.toml."""

    group_roles: tuple[GroupRole, ...] | None = None


class Recipients(_Part):
    """The file recipients.toml."""

    recipients: tuple[Recipient, ...] | None = None


@dataclass(frozen=True)
class Definition:
    """What a folder says. None: it says nothing of this. processes: key of the application → TOML."""

    applications: Mapping[str, Application] | None = None
    processes: Mapping[str, str] = field(default_factory=dict)
    procedures: Mapping[str, Procedure] = field(default_factory=dict)
    calendar: Calendar = field(default_factory=Calendar)
    access: Access = field(default_factory=Access)
    recipients: Recipients = field(default_factory=Recipients)

    def kinds(self) -> frozenset[str]:
        """Return the kinds whose resources are all named, so that one that is missing here is to go."""
        lists = {
            "holiday": self.calendar.holidays,
            "freeze": self.calendar.freezes,
            "group_role": self.access.group_roles,
            "recipient": self.recipients.recipients,
        }
        named = {kind for kind, rows in lists.items() if rows is not None}
        return frozenset(named if self.applications is None else named | OF_APPLICATIONS)

    def resources(self) -> Resources:
        """Return address → values, of all but procedures and processes."""
        found = Resources()
        for key, row in (self.applications or {}).items():
            values = row.model_dump(mode="json")
            for target in values.pop("targets"):
                found["target", key, target.pop("environment"), target.pop("name")] = target
            for kind in ("signers", "documents", "forge"):
                if given := values.pop(kind):
                    found[kind, key] = given if isinstance(given, dict) else {kind: given}
            found["application", key] = values
        for day in self.calendar.holidays or ():
            found["holiday", day.day.isoformat()] = {"ja": day.ja, "en": day.en}
        for freeze in self.calendar.freezes or ():
            found["freeze", *freeze.key] = freeze.model_dump(mode="json")
        for role in self.access.group_roles or ():
            scope = (role.environment, role.application, role.application_group)
            found["group_role", role.group, role.role, *scope] = role.model_dump()
        for person in self.recipients.recipients or ():
            found["recipient", person.group, person.account] = person.model_dump()
        return found


def parse(files: Mapping[str, str]) -> Definition:
    """Read a definition, with the procedures in effect where it has none of its own. files: path → text.

    Raises ProcedureFaults with every fault, each with its file and line.
    """
    faults: list[Fault] = []
    found: dict[str, Any] = {"applications": {}, "processes": {}, "procedures": {}}
    documents: dict[str, dict[str, str]] = {}
    for path, text in files.items():
        try:
            if PurePosixPath(path).as_posix() != path:
                raise ProcedureFaults([Fault(path, _("is not a plain path"))])
            match PurePosixPath(path).parts:
                case ("applications", name):
                    found["applications"][_key(path, name)] = _read(Application, path, text)
                case ("processes", name):
                    found["processes"][_key(path, name)] = text
                case ("procedure", _name):
                    documents.setdefault("", {})[path] = text
                case ("procedures", key, _name):
                    documents.setdefault(key, {})[path] = text
                case (name,) if name in _LISTS:
                    found[name.removesuffix(".toml")] = _read(_LISTS[name], path, text)
                case _other:
                    raise ProcedureFaults([Fault(path, _("is not a file of a definition"))])
        except ProcedureFaults as wrong:
            faults += wrong.faults
    types, known = procedure_types(), {row.key: row.document for row in ProcedureRow.objects.filter(state="in_effect")}
    for key in sorted(documents):  # the organisation's comes first: the others share sections with it
        try:
            procedure = Procedure.from_toml(documents[key], known.get(""), **types)
            if procedure.key != key:
                raise ProcedureFaults([Fault(f"procedures/{key}", _("has the key %(key)r") % {"key": procedure.key})])
            found["procedures"][key] = known[key] = procedure
        except RecursionError:
            faults.append(Fault(f"procedures/{key}", _("is too deep")))
        except ProcedureFaults as wrong:
            faults += wrong.faults
    followed = dict(ApplicationRow.objects.values_list("slug", "procedure"))
    for key, text in found["processes"].items():
        own = next((one for one in found["procedures"].values() if key in one.applications), None)
        try:
            if (document := own or known.get(followed.get(key, ""))) is not None:
                Process.from_toml(text, document, **types)
        except RecursionError:
            faults.append(Fault(f"processes/{key}.toml", _("is too deep")))
        except ProcedureFaults as wrong:
            faults += [Fault(f"processes/{key}.toml", str(fault)) for fault in wrong.faults]
    if faults:
        raise ProcedureFaults(faults)
    return Definition(**found | {"applications": found["applications"] or None})


def _key(path: str, name: str) -> str:
    if not name.endswith(".toml") or not APPLICATION_KEY.fullmatch(key := name.removesuffix(".toml")):
        raise ProcedureFaults([Fault(path, _("is not named by the key of an application"))])
    return key


def _read[T: _Part](kind: type[T], path: str, text: str) -> T:
    try:
        raw = tomllib.loads(text)
        rfc8785.dumps(_plain(raw))
    except (tomllib.TOMLDecodeError, rfc8785.CanonicalizationError, RecursionError) as wrong:
        text = _("is not TOML, or not of this form: %(fault)s")
        raise ProcedureFaults([Fault(path, text % {"fault": wrong})]) from None
    lines = {(): path} | lines_of(text, path)
    said = _("seems to be a secret; enter it in a configuration")
    plain = {name: value for name, value in raw.items() if name != "targets"}  # judged by their own schema below
    faults = [fault_at(tuple(name.split(".")), said, lines) for name in reveals_secret(plain)]
    try:
        made = kind.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            faults.append(fault_at(tuple(error["loc"]), message_of(error), lines))
        raise ProcedureFaults(faults) from None
    if isinstance(made, Application):
        seen = set()
        for number, target in enumerate(made.targets):
            place = ("targets", number)
            if (target.environment, target.name) in seen:
                faults.append(fault_at(place, _("is the second target of that name there"), lines))
            seen.add((target.environment, target.name))
            for key, messages in faults_by_key(target.options).items():
                faults += [fault_at((*place, "options", key), message, lines) for message in messages]
    if faults:
        raise ProcedureFaults(faults)
    return made


def _plain(value: Any) -> Any:
    """Return a value of TOML as JSON has it: times as texts."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float) else str(value)


def texts(folder: Path) -> dict[str, str]:
    """Return path → text of the TOML files of a folder. Raises ProcedureFaults."""
    found, faults, size = {}, [], 0
    for file in sorted(folder.rglob("*.toml")):
        name = file.relative_to(folder).as_posix()
        try:
            found[name] = file.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as wrong:
            faults.append(Fault(name, _("cannot be read: %(fault)s") % {"fault": wrong}))
        size += len(found.get(name, ""))
    if not found and not faults:
        faults.append(Fault(str(folder), _("contains no TOML file")))
    if size > MOST_BYTES:
        faults.append(Fault(str(folder), _("has more than %(most)d characters") % {"most": MOST_BYTES}))
    if faults:
        raise ProcedureFaults(faults)
    return found


def as_files(definition: Definition) -> dict[str, str]:
    """Return path → TOML of a definition; `parse` reads the same from it."""
    found = {f"applications/{key}.toml": _toml(row) for key, row in (definition.applications or {}).items()}
    found |= {f"processes/{key}.toml": text for key, text in definition.processes.items()}
    for key, procedure in definition.procedures.items():
        folder = f"procedures/{key}" if key else "procedure"
        found |= {f"{folder}/{name}": text for name, text in save.as_files(procedure).items()}
    rest = {"calendar.toml": definition.calendar, "access.toml": definition.access}
    rest["recipients.toml"] = definition.recipients
    return found | {name: text for name, part in rest.items() if (text := _toml(part))}


def _toml(part: _Part) -> str:
    return tomli_w.dumps(part.model_dump(exclude_defaults=True), multiline_strings=True)


OF_APPLICATIONS = frozenset({"application", "signers", "documents", "forge", "target"})
_LISTS: dict[str, type[_Part]] = {"calendar.toml": Calendar, "access.toml": Access, "recipients.toml": Recipients}

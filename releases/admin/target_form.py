"""The form of a deployment target's settings: a labelled field for each setting of the schema, in groups."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _, gettext_lazy

from releases.actions.target.schema import LONGEST, faults_by_key
from releases.admin.verbs.base import LinesField

_PLAIN = re.compile(r"[^\s'\"\\]+\Z")


class CommandField(forms.CharField):
    """The words of a command on one line, quoted as in a shell; a tuple of words."""

    def to_python(self, value: Any) -> Any:
        """Return the words."""
        try:
            return tuple(shlex.split(str(value or "")))
        except ValueError as wrong:
            raise forms.ValidationError(_("A quotation mark is not closed, or a backslash ends the line.")) from wrong

    def prepare_value(self, value: Any) -> Any:
        """Return the line of a list of words; only what needs it is quoted."""
        if isinstance(value, list | tuple):
            return " ".join(word if _PLAIN.match(word) else shlex.quote(word) for word in value)
        return value


class TextOrObjectField(forms.CharField):
    """A text, or a JSON object where it begins with a brace."""

    widget = forms.Textarea(attrs={"rows": 5, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        """Return the text or the object."""
        text = str(value or "").strip()
        if not text.startswith("{"):
            return str(value or "").strip("\r\n").replace("\r\n", "\n")
        try:
            return json.loads(text)
        except json.JSONDecodeError as wrong:
            where = {"line": wrong.lineno, "column": wrong.colno, "fault": wrong.msg}
            message = _("This is no JSON: line %(line)s, column %(column)s: %(fault)s") % where
            raise forms.ValidationError(message) from wrong

    def prepare_value(self, value: Any) -> Any:
        """Return an object as indented JSON."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Group:
    """Settings that belong together; one that few need is folded up until one of its settings has a value."""

    title: Any
    rare: bool = False


@dataclass(frozen=True)
class Entry:
    """One setting as the form shows it. kind: line, command, number, whole, yes, format, lines or inventory."""

    key: str
    label: Any
    example: str = ""
    help: Any = ""
    kind: str = "line"


_PLACES = gettext_lazy(
    "Words as in a shell, but no shell reads them. {root}, {tree} and {config} are replaced by the paths of the folder, "
    "the version and the configuration file."
)
_FORMATS = (("", "env (shared/config.env)"), ("toml", "toml"), ("yaml", "yaml"), ("json", "json"),
            ("command", gettext_lazy("commands of your own")))  # fmt: skip
# Settings with pages of their own.
ELSEWHERE = ("watch", "http_hosts", "private_networks")

SHEET: tuple[Group | Entry, ...] = (
    Group(gettext_lazy("Service")),
    Entry("service.start", gettext_lazy("start command"), "{tree}/.venv/bin/python -m app --config {config}",
          _PLACES, "command"),
    Entry("service.stop", gettext_lazy("stop command"), "systemctl stop app",
          gettext_lazy("Ends a service that Ringi did not start itself, such as one of a supervisor."), "command"),
    Entry("service.stop_seconds", gettext_lazy("seconds to stop"), "10",
          gettext_lazy("After SIGTERM, before SIGKILL."), "number"),
    Entry("service.ready.url", gettext_lazy("ready address"), "http://127.0.0.1:8000/health",
          gettext_lazy("Asked on the target's host after the start; it must answer with a 2xx status.")),
    Entry("service.ready.seconds", gettext_lazy("seconds until ready"), "20",
          gettext_lazy("Within which time the ready address must answer."), "number"),
    Entry("service.status", gettext_lazy("status command"), "systemctl is-active --quiet app",
          gettext_lazy("Exit status 0: the service runs; 1 to 3: it does not."), "command"),
    Group(gettext_lazy("What proves a start")),
    Entry("service.version.url", gettext_lazy("version address"), "http://127.0.0.1:8000/version",
          gettext_lazy("Where the running service says its version, tag or commit.")),
    Entry("service.version.command", gettext_lazy("version command"), "{tree}/bin/app --running-version",
          gettext_lazy("In place of an address: prints the version of the running service."), "command"),
    Entry("service.version.json_path", gettext_lazy("place in the JSON answer"), "build.version",
          gettext_lazy("Left out, with no pattern either: the whole answer is the version.")),
    Entry("service.version.pattern", gettext_lazy("pattern of the version"), "version: (\\S+)",
          gettext_lazy("A regular expression with one group, which is the version.")),
    Entry("service.port", gettext_lazy("port of the process"), "8000",
          gettext_lazy("The port on which the started process listens; left out: that of the ready address."), "whole"),
    Entry("service.without_port", gettext_lazy("the service listens on no port"),
          help=gettext_lazy("A living process is then all that is asked."), kind="yes"),
    Entry("service.stable_seconds", gettext_lazy("stable seconds"), "2",
          gettext_lazy("How long the service must serve without a break before a start counts."), "number"),
    Group(gettext_lazy("Checks and monitoring")),
    Entry("urls.base", gettext_lazy("base address"), "http://127.0.0.1:8000",
          gettext_lazy("Where checks of pages ask.")),
    Entry("metrics_url", gettext_lazy("metrics address"), "http://127.0.0.1:8000/metrics",
          gettext_lazy("The page that monitoring reads, in the Prometheus text format unless the sources say otherwise.")),
    Entry("log", gettext_lazy("log file"), "shared/app.log", gettext_lazy("A path below the folder.")),
    Entry("log_error_pattern", gettext_lazy("error lines of the log"), "ERROR|Traceback",
          gettext_lazy("A regular expression; left out: what common servers and frameworks write.")),
    Entry("prometheus_url", gettext_lazy("Prometheus server"), "http://10.1.2.3:9090"),
    Entry("alerts_url", gettext_lazy("Alertmanager"), "http://10.1.2.3:9093"),
    Entry("trusted_certificates", gettext_lazy("trusted certificates"), "/etc/ssl/private-ca.pem",
          gettext_lazy("A PEM file; left out: the authorities of the system.")),
    Group(gettext_lazy("Database"), rare=True),
    Entry("migrate", gettext_lazy("migration command"), "{tree}/manage.py migrate", _PLACES, "command"),
    Entry("migrate_check", gettext_lazy("migration check"), "{tree}/manage.py migrate --check",
          gettext_lazy("Exit status 0: migrated; 3: not migrated."), "command"),
    Entry("migrate_back", gettext_lazy("reverse migration command"), "{tree}/manage.py migrate app 0007",
          gettext_lazy("Where a plan declares that the schema goes back by a migration."), "command"),
    Entry("database_key", gettext_lazy("configuration key of the database"), "DATABASE_URL",
          gettext_lazy("The key of the configuration that holds the database's address.")),
    Entry("postgres_bin", gettext_lazy("PostgreSQL programs"), "/usr/lib/postgresql/17/bin",
          gettext_lazy("Folder of pg_dump, pg_restore and psql; left out: the PATH.")),
    Group(gettext_lazy("Configuration file"), rare=True),
    Entry("configuration.format", gettext_lazy("format"), kind="format"),
    Entry("configuration.path", gettext_lazy("path"), "shared/config.toml",
          gettext_lazy("Below the folder; left out: shared/config.<format>.")),
    Entry("configuration.write", gettext_lazy("write command"), "/usr/local/bin/app-config write {values}",
          gettext_lazy("Only with commands of your own: {values} is a file with the values as JSON."), "command"),
    Entry("configuration.digest", gettext_lazy("digest command"), "/usr/local/bin/app-config digest",
          gettext_lazy("Only with commands of your own: prints the SHA-256 of that JSON as it is active, or nothing."), "command"),
    Group(gettext_lazy("What programs see"), rare=True),
    Entry("programs.read", gettext_lazy("paths to read"), "/opt/java",
          gettext_lazy("One on a line, beside the folder and the system's own: what commands read and run."), "lines"),
    Entry("programs.write", gettext_lazy("paths to write"), "/srv/uploads",
          gettext_lazy("One on a line. A service keeps these limits as long as it runs."), "lines"),
    Group(gettext_lazy("Another host over SSH"), rare=True),
    Entry("ssh.host", gettext_lazy("host"), "app1.example",
          gettext_lazy("The private key is the secret TARGET_SSH_KEY of the environment's configuration.")),
    Entry("ssh.user", gettext_lazy("user"), "deploy"),
    Entry("ssh.known_hosts", gettext_lazy("host keys"), "app1.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…",
          gettext_lazy("One on a line, as ssh-keyscan prints them."), "lines"),
    Entry("ssh.port", gettext_lazy("port"), "22", kind="whole"),
    Entry("ssh.python", gettext_lazy("Python"), "python3",
          gettext_lazy("The interpreter there, 3.11.4 or newer.")),
    Group("Ansible", rare=True),
    Entry("ansible.inventory", gettext_lazy("inventory"), "[web]\nweb1.example",
          gettext_lazy("The text of an INI or YAML file, or a JSON object."), "inventory"),
    Entry("ansible.playbook", gettext_lazy("playbook"), "deploy/site.yml",
          gettext_lazy("Below the folder, where a plan names none.")),
    Entry("ansible.program", gettext_lazy("program"), "/usr/bin/ansible-playbook",
          gettext_lazy("Left out: beside the interpreter, else on the PATH.")),
)  # fmt: skip


def fields_of(settings: Mapping[str, Any]) -> dict[str, forms.Field]:
    """Return the fields of the form by the dotted names of the settings, with the values of `settings`."""
    fields: dict[str, forms.Field] = {}
    used: dict[Group, bool] = {}
    for row in SHEET:
        if isinstance(row, Group):
            group = row
            continue
        field = fields[row.key] = _field(row, value_at(settings, row.key))
        used[group] = used.get(group, False) or field.initial not in (None, "", (), False)
        setattr(field, "group", group)  # noqa: B010  read by the template
    for field in fields.values():
        own: Group = getattr(field, "group")  # noqa: B009
        setattr(field, "group", Group(own.title, own.rare and not used[own]))  # noqa: B010
    return fields


def _field(row: Entry, value: Any) -> forms.Field:
    kinds: dict[str, type[forms.Field]] = {
        "command": CommandField, "number": forms.FloatField, "whole": forms.IntegerField,
        "lines": LinesField, "inventory": TextOrObjectField, "yes": forms.BooleanField,
    }  # fmt: skip
    if row.kind == "lines":
        value = "\n".join([value] if isinstance(value, str) else value or ())
    options = {"label": row.label, "required": False, "initial": value, "help_text": row.help}
    if row.kind == "line":
        options["max_length"] = LONGEST
    if row.kind == "format":
        options["initial"] = "" if value == "env" else value
        field: forms.Field = forms.ChoiceField(choices=_FORMATS, **options)
    else:
        field = kinds.get(row.kind, forms.CharField)(**options)
        field.widget.attrs |= {"placeholder": row.example, "spellcheck": "false"} if row.example else {}
    setattr(field, "key", row.key)  # noqa: B010  read by the template
    return field


def value_at(settings: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted name; None where there is none."""
    found: Any = settings
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the form's values (by dotted name) are; what is empty is left out.

    Raises ValidationError with the faults at their fields.
    """
    settings: dict[str, Any] = {}
    for key, value in values.items():
        if value is False or value in (None, "", (), {}):
            continue
        *above, name = key.split(".")
        part = settings
        for one in above:
            part = part.setdefault(one, {})
        part[name] = list(value) if isinstance(value, tuple) else value
    faults: dict[str, list[str]] = {}
    for key, sentences in faults_by_key(settings).items():
        # A fault of a whole part stands at its first field.
        own = key if key in values else next((known for known in values if known.startswith(f"{key}.")), "__all__")
        faults.setdefault(own, []).extend(sentences)
    if faults:
        raise forms.ValidationError(faults)  # type: ignore[arg-type]
    return settings

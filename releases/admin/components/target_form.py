"""The form of a deployment target's options: a labelled field for each option of the schema, in groups."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _, gettext_lazy

from releases.admin.operations.base import LinesField
from releases.queries.target_schema import LONGEST, faults_by_key

_PLAIN = re.compile(r"[^\s'\"\\]+\Z")


class CommandField(forms.CharField):
    """A command on one line, quoted as in a shell; the value is a tuple of words."""

    def to_python(self, value: Any) -> Any:
        """Return the words."""
        try:
            return tuple(shlex.split(str(value or "")))
        except ValueError as wrong:
            raise forms.ValidationError(_("A quotation mark is not closed, or a backslash ends the line.")) from wrong

    def prepare_value(self, value: Any) -> Any:
        """Return a list of words as a line; only words that need quotes are quoted."""
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
            message = _("This is not valid JSON: line %(line)s, column %(column)s: %(fault)s") % where
            raise forms.ValidationError(message) from wrong

    def prepare_value(self, value: Any) -> Any:
        """Return an object as indented JSON."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Group:
    """Options that belong together; a rarely used group is folded up until one of its options has a value."""

    title: Any
    rare: bool = False


@dataclass(frozen=True)
class Entry:
    """One option as the form shows it. kind: line, command, number, whole, yes, format, lines or inventory."""

    key: str
    label: Any
    example: str = ""
    help: Any = ""
    kind: str = "line"


_PLACES = gettext_lazy(
    "Write the command as in a shell; no shell runs the command. {root}, {tree} and {config} are replaced by "
    "the paths of the folder, the version and the configuration file."
)
_FORMATS = (
    ("", "env (shared/config.env)"),
    ("toml", "toml"),
    ("yaml", "yaml"),
    ("json", "json"),
    ("command", gettext_lazy("commands of your own")),
)
# Options with pages of their own.
ELSEWHERE = ("metric_sources", "http_hosts", "private_networks")

SHEET: tuple[Group | Entry, ...] = (
    Group(gettext_lazy("Service")),
    Entry(
        "service.start",
        gettext_lazy("start command"),
        "{tree}/.venv/bin/python -m app --config {config}",
        _PLACES,
        "command",
    ),
    Entry(
        "service.stop",
        gettext_lazy("stop command"),
        "systemctl stop app",
        gettext_lazy("This command stops a service that Ringi did not start itself, such as one of a supervisor."),
        "command",
    ),
    Entry(
        "service.stop_seconds",
        gettext_lazy("seconds to stop"),
        "10",
        gettext_lazy("Ringi waits this long between SIGTERM and SIGKILL."),
        "number",
    ),
    Entry(
        "service.ready.url",
        gettext_lazy("ready address"),
        "http://127.0.0.1:8000/health",
        gettext_lazy(
            "Ringi requests this address on the target's host after the start. The address must answer with a "
            "2xx status."
        ),
    ),
    Entry(
        "service.ready.seconds",
        gettext_lazy("seconds until ready"),
        "20",
        gettext_lazy("The ready address must answer within this time."),
        "number",
    ),
    Entry(
        "service.status",
        gettext_lazy("status command"),
        "systemctl is-active --quiet app",
        gettext_lazy("Exit status 0: the service runs; 1 to 3: it does not."),
        "command",
    ),
    Group(gettext_lazy("Proof of start")),
    Entry(
        "service.version.url",
        gettext_lazy("version address"),
        "http://127.0.0.1:8000/version",
        gettext_lazy("The running service returns its version, tag or commit at this address."),
    ),
    Entry(
        "service.version.command",
        gettext_lazy("version command"),
        "{tree}/bin/app --running-version",
        gettext_lazy("In place of an address, this command prints the version of the running service."),
        "command",
    ),
    Entry(
        "service.version.json_path",
        gettext_lazy("place in the JSON answer"),
        "build.version",
        gettext_lazy("If this field and the pattern are empty, the whole answer is the version."),
    ),
    Entry(
        "service.version.pattern",
        gettext_lazy("pattern of the version"),
        "version: (\\S+)",
        gettext_lazy("Enter a regular expression with one group. The group is the version."),
    ),
    Entry(
        "service.port",
        gettext_lazy("port of the process"),
        "8000",
        gettext_lazy("The started process listens on this port. If empty, Ringi uses the port of the ready address."),
        "whole",
    ),
    Entry(
        "service.without_port",
        gettext_lazy("the service listens on no port"),
        help=gettext_lazy("Ringi then only checks that the process is alive."),
        kind="yes",
    ),
    Entry(
        "service.stable_seconds",
        gettext_lazy("stable seconds"),
        "2",
        gettext_lazy("The service must respond without a break for this long before the start counts."),
        "number",
    ),
    Group(gettext_lazy("Checks and monitoring")),
    Entry(
        "urls.base",
        gettext_lazy("base address"),
        "http://127.0.0.1:8000",
        gettext_lazy("Page checks request this address."),
    ),
    Entry(
        "metrics_url",
        gettext_lazy("metrics address"),
        "http://127.0.0.1:8000/metrics",
        gettext_lazy(
            "Monitoring reads this page, in the Prometheus text format unless the metric sources specify another "
            "format."
        ),
    ),
    Entry("log", gettext_lazy("log file"), "shared/app.log", gettext_lazy("Enter a path below the folder.")),
    Entry(
        "log_error_pattern",
        gettext_lazy("error lines of the log"),
        "ERROR|Traceback",
        gettext_lazy(
            "Enter a regular expression. If empty, Ringi looks for the error lines of common servers and frameworks."
        ),
    ),
    Entry("prometheus_url", gettext_lazy("Prometheus server"), "http://10.1.2.3:9090"),
    Entry("alerts_url", gettext_lazy("Alertmanager"), "http://10.1.2.3:9093"),
    Entry(
        "trusted_certificates",
        gettext_lazy("trusted certificates"),
        "/etc/ssl/private-ca.pem",
        gettext_lazy("Enter the path of a PEM file. If empty, Ringi uses the certificate authorities of the system."),
    ),
    Group(gettext_lazy("Database"), rare=True),
    Entry("migrate", gettext_lazy("migration command"), "{tree}/manage.py migrate", _PLACES, "command"),
    Entry(
        "migrate_check",
        gettext_lazy("migration check"),
        "{tree}/manage.py migrate --check",
        gettext_lazy("Exit status 0: migrated; 3: not migrated."),
        "command",
    ),
    Entry(
        "migrate_back",
        gettext_lazy("reverse migration command"),
        "{tree}/manage.py migrate app 0007",
        gettext_lazy("Ringi uses this command when a step plan rolls the schema back by a migration."),
        "command",
    ),
    Entry(
        "database_key",
        gettext_lazy("configuration key of the database"),
        "DATABASE_URL",
        gettext_lazy("This configuration key holds the database's address."),
    ),
    Entry(
        "postgres_bin",
        gettext_lazy("PostgreSQL programs"),
        "/usr/lib/postgresql/17/bin",
        gettext_lazy("Enter the folder of pg_dump, pg_restore and psql. If empty, Ringi uses the PATH."),
    ),
    Group(gettext_lazy("Configuration file"), rare=True),
    Entry("configuration.format", gettext_lazy("format"), kind="format"),
    Entry(
        "configuration.path",
        gettext_lazy("path"),
        "shared/config.toml",
        gettext_lazy("Enter a path below the folder. If empty, Ringi uses shared/config.<format>."),
    ),
    Entry(
        "configuration.write",
        gettext_lazy("write command"),
        "/usr/local/bin/app-config write {values}",
        gettext_lazy("Only with commands of your own: {values} is a file with the values as JSON."),
        "command",
    ),
    Entry(
        "configuration.digest",
        gettext_lazy("digest command"),
        "/usr/local/bin/app-config digest",
        gettext_lazy(
            "Only with commands of your own: the command prints the SHA-256 of that JSON as it is active, or nothing."
        ),
        "command",
    ),
    Group(gettext_lazy("Paths visible to programs"), rare=True),
    Entry(
        "programs.read",
        gettext_lazy("paths to read"),
        "/opt/java",
        gettext_lazy(
            "Enter one path per line. Commands can read and run these paths, besides the folder and the system's "
            "own files."
        ),
        "lines",
    ),
    Entry(
        "programs.write",
        gettext_lazy("paths to write"),
        "/srv/uploads",
        gettext_lazy("Enter one path per line. A service keeps these limits as long as it runs."),
        "lines",
    ),
    Group(gettext_lazy("Another host over SSH"), rare=True),
    Entry(
        "ssh.host",
        gettext_lazy("host"),
        "app1.example",
        gettext_lazy("The private key is the secret TARGET_SSH_KEY of the environment's configuration."),
    ),
    Entry("ssh.user", gettext_lazy("user"), "deploy"),
    Entry(
        "ssh.known_hosts",
        gettext_lazy("host keys"),
        "app1.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…",
        gettext_lazy("Enter one key per line, as ssh-keyscan prints them."),
        "lines",
    ),
    Entry("ssh.port", gettext_lazy("port"), "22", kind="whole"),
    Entry(
        "ssh.python",
        gettext_lazy("Python"),
        "python3",
        gettext_lazy("Enter the Python interpreter on the other host, version 3.11.4 or newer."),
    ),
    Group("Ansible", rare=True),
    Entry(
        "ansible.inventory",
        gettext_lazy("inventory"),
        "[web]\nweb1.example",
        gettext_lazy("Enter the text of an INI or YAML file, or a JSON object."),
        "inventory",
    ),
    Entry(
        "ansible.playbook",
        gettext_lazy("playbook"),
        "deploy/site.yml",
        gettext_lazy("Enter a path below the folder. Ringi uses this playbook when a step plan names none."),
    ),
    Entry(
        "ansible.program",
        gettext_lazy("program"),
        "/usr/bin/ansible-playbook",
        gettext_lazy("If empty, Ringi looks beside the Python interpreter, then on the PATH."),
    ),
)


def fields_of(settings: Mapping[str, Any]) -> dict[str, forms.Field]:
    """Return the fields of the form by the dotted names of the options, with the values of `settings`."""
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
        "command": CommandField,
        "number": forms.FloatField,
        "whole": forms.IntegerField,
        "lines": LinesField,
        "inventory": TextOrObjectField,
        "yes": forms.BooleanField,
    }
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
    """Return the options from the form's values (by dotted name), without empty ones. Raises ValidationError."""
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
        # A fault of a whole part is shown at its first field.
        own = key if key in values else next((known for known in values if known.startswith(f"{key}.")), "__all__")
        faults.setdefault(own, []).extend(sentences)
    if faults:
        raise forms.ValidationError(faults)  # type: ignore[arg-type]
    return settings

"""Comparison of a target with the expectation of a version's registration, row by row."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from environments.targets.base import TargetSpec
from environments.targets.configuration_file import digest_of, path_of, rendered
from environments.targets.masking import masked
from environments.targets.measured import Measured

MOST_LINES = 10
_KEY_OF = re.compile(r'\s*"?([A-Za-z_][A-Za-z0-9_]*)"?\s*[=:]')
# A person's statement about the service, and what the target must then show.
RUNS: Mapping[str, bool] = {"runs": True, "stopped": False, "none": False}


@dataclass(frozen=True)
class Row:
    """One thing that is compared. key: layout, code, configuration, service or schema; result: passed where it is as
    expected, failed where it is not, unknown where nothing can be compared; says: what the difference means.
    """

    key: str
    expected: str
    found: str
    result: str
    says: str = ""


def compare(
    target: TargetSpec,
    lies: Mapping[str, Any],
    measured: Measured,
    *,
    tag: str,
    tree: str,
    number: int,
    values: Mapping[str, str],
    secrets: Iterable[str],
    service: str,
) -> list[Row]:
    """Compare what lies on a target with a version and a configuration.

    lies: as layout_of returns it. tag, tree: of the version; number, values: of the configuration, secrets in clear;
    service: a person's statement about it (key of RUNS).
    """
    return [
        _layout(target, lies),
        _code(measured, tag, tree),
        _configuration(target, lies, measured, number, values, tuple(secrets)),
        _service(lies, service),
        Row(
            "schema",
            "—",
            measured.schema[:12] or _("no database"),
            "unknown",
            _("The current state is registered as it is."),
        ),
    ]


def _layout(target: TargetSpec, lies: Mapping[str, Any]) -> Row:
    expected = _("current is a link to a folder below releases/")
    if lies["current"] != "link":
        found = _("current is a folder, no link") if lies["current"] else _("there is no link current")
        text = _("Place the version from the repository, or create the link manually.")
        return Row("layout", expected, found, "failed", text)
    leads = PurePosixPath(target.root, lies["leads_to"])
    inside = leads.parent == PurePosixPath(target.root, "releases") and ".." not in leads.parts
    says = "" if inside else _("Move the version's folder below releases/ and point current to that folder.")
    return Row("layout", expected, f"current → {lies['leads_to']}", "passed" if inside else "failed", says)


def _code(measured: Measured, tag: str, tree: str) -> Row:
    same = measured.code == tree
    says = "" if same else _("The Git tree hash on the deployment target differs from that of %(tag)s.") % {"tag": tag}
    return Row("code", f"{tag}: {tree[:12]}", measured.code[:12] or _("nothing"), "passed" if same else "failed", says)


def _configuration(
    target: TargetSpec,
    lies: Mapping[str, Any],
    measured: Measured,
    number: int,
    values: Mapping[str, str],
    secrets: tuple[str, ...],
) -> Row:
    wanted = rendered(target, values)
    path = path_of(target)
    named = str(path.relative_to(target.root)) if path is not None else _("commands of your own")
    expected = f"{named}: {digest_of(wanted)[:12] or _('nothing')}"
    found = f"{named}: {measured.configuration[:12] or _('nothing')}"
    if digest_of(wanted) == measured.configuration:
        return Row("configuration", expected, found, "passed")
    says = [_("The configuration on the deployment target differs from version %(n)d.") % {"n": number}]
    if lies["configuration"] is not None:
        says += differing(wanted.decode(), lies["configuration"], values, secrets)
    return Row("configuration", expected, found, "failed", "\n".join(says))


def differing(wanted: str, found: str, values: Mapping[str, str], secrets: tuple[str, ...]) -> list[str]:
    """Return a message for each line that only one of two texts has; a value that may be a secret is not shown."""
    here, there = wanted.splitlines(), found.splitlines()
    said = [_("expected: %(line)s") % {"line": masked(line, secrets)} for line in here if line not in there]
    for line in (line for line in there if line not in here):
        key = _KEY_OF.match(line)
        known = key is not None and key[1] in values and values[key[1]] not in secrets
        shown = masked(line, secrets) if known else f"{key[1]} …" if key is not None else "…"
        said.append(_("found: %(line)s") % {"line": shown})
    if not said and wanted != found:
        return [_("The lines are the same, but their order or line endings differ.")]
    rest = len(said) - MOST_LINES
    return said[:MOST_LINES] + ([_("and %(n)d more") % {"n": rest}] if rest > 0 else [])


def _service(lies: Mapping[str, Any], stated: str) -> Row:
    words = {"runs": _("runs"), "stopped": _("does not run"), "none": _("no service")}
    runs = lies["runs"]
    if runs is None:
        text = _("No ready address and no port is given, so only your statement is recorded.")
        return Row("service", words[stated], _("not measured"), "unknown", text)
    found = words["runs"] if runs else words["stopped"]
    if runs is not RUNS[stated]:
        text = _("Choose the actual state, or start or stop the service first.")
        return Row("service", words[stated], found, "failed", text)
    if runs and not lies["started"]:
        text = _(
            "Ringi did not start this service. Set a stop command in the target options, or stop the service "
            "manually before the first deployment."
        )
        return Row("service", words[stated], found, "passed", text)
    return Row("service", words[stated], found, "passed")

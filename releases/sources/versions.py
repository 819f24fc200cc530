"""Semantic versions: read, compare, suggest the next, say what is wrong. Actions and gates call it."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Iterable, Mapping

import semver
from django.utils.translation import gettext as _

# Kind of change → part of the version it raises; a procedure may bring its own (`Procedure.change_kinds`).
KINDS: Mapping[str, str] = {"breaking": "major", "feature": "minor", "fix": "patch", "small": "patch"}
FIRST = "1.0.0"
_LONGEST = 128
_RANK = {"patch": 0, "minor": 1, "major": 2}


class BadVersion(ValueError):
    """A text that is no semantic version; the message is shown to people."""


def parse(text: str) -> semver.Version:
    """Read a version; full-width digits and letters count as the plain ones (NFKC). Raises BadVersion."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if len(plain) > _LONGEST:
        raise BadVersion(_("A version has at most %(count)d characters.") % {"count": _LONGEST})
    try:
        return semver.Version.parse(plain)
    except ValueError:
        raise BadVersion(
            _("“%(text)s” is not a semantic version such as 1.2.3 or 1.2.3-beta.1.") % {"text": plain}
        ) from None


def normalised(text: str) -> str:
    """Return the plain form of a version as it is stored. Raises BadVersion."""
    return str(parse(text))


def compare(one: str, other: str) -> int:
    """Return -1, 0 or 1 by the precedence of SemVer (build metadata does not count). Raises BadVersion."""
    return parse(one).compare(parse(other))


def is_pre_release(text: str) -> bool:
    """Say whether a version is a pre-release. Raises BadVersion."""
    return parse(text).prerelease is not None


def part_for(kinds: Iterable[str], raises: Mapping[str, str] = KINDS) -> str:
    """Return the part (major, minor, patch) that the gravest kind of change asks for; patch for none.

    Raises BadVersion for an unknown kind: what nobody has weighed is not small.
    """
    gravest = "patch"
    for kind in kinds:
        if kind not in raises:
            raise BadVersion(_("“%(kind)s” is not a kind of change.") % {"kind": kind})
        if _RANK[raises[kind]] > _RANK[gravest]:
            gravest = raises[kind]
    return gravest


def suggest(previous: str | None, kinds: Iterable[str], raises: Mapping[str, str] = KINDS) -> str:
    """Return the next version after the one in force for these kinds of change. Raises BadVersion."""
    if previous is None:
        return FIRST
    before = parse(previous).replace(build=None)
    part = part_for(kinds, raises)
    if before.prerelease is not None:
        return str(before.next_version(part))
    if before.major == 0 and part == "major":
        part = "minor"
    return str({"major": before.bump_major, "minor": before.bump_minor, "patch": before.bump_patch}[part]())


def faults(
    version: str,
    previous: str | None,
    kinds: Iterable[str],
    production: bool,
    raises: Mapping[str, str] = KINDS,
) -> list[str]:
    """Return every reason, as a sentence, why a version does not fit; empty when it does.

    previous: the version in force, None for nothing. production: whether the release is bound for a
    production tier. Below 1.0.0, where SemVer promises nothing, a breaking change asks for a new minor
    version only.
    """
    try:
        wanted = parse(version)
        part = part_for(kinds, raises)
        before = parse(previous) if previous is not None else None
    except BadVersion as fault:
        return [str(fault)]
    found = []
    if production and wanted.prerelease is not None:
        found.append(_("%(version)s is a pre-release and cannot go to production.") % {"version": wanted})
    if before is None:
        return found
    line = operator.attrgetter("major", "minor")
    # A pre-release of x.y.0 is followed by x.y.0 itself.
    finishes = before.prerelease is not None and wanted.patch == 0
    names = {"version": str(wanted), "previous": str(before)}
    if wanted.compare(before) <= 0:
        found.append(_("%(version)s is not above %(previous)s, which is in force.") % names)
        return found
    if part == "major" and wanted.major == before.major and before.major > 0:
        found.append(_("A breaking change needs a new major version; %(version)s only follows %(previous)s.") % names)
    elif part != "patch" and line(wanted) == line(before) and not finishes:
        found.append(_("A new feature needs a new minor version; %(version)s only follows %(previous)s.") % names)
    return found

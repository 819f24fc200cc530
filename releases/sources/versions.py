"""Semantic versions: read, compare, suggest the next one, explain faults. Operations and gates call it."""

import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence

import semver
from django.utils.translation import gettext as _

type Kinds = Mapping[str, str]
# Type of change → part of the version that it raises; a procedure may have its own (`Procedure.change_types`).
KINDS: Kinds = {"breaking": "major", "feature": "minor", "fix": "patch", "small": "patch"}
FIRST = "1.0.0"
PLACE = "{version}"
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
    """Tell whether a version is a pre-release. Raises BadVersion."""
    return parse(text).prerelease is not None


def of_tag(tag: str, patterns: Sequence[str]) -> str:
    """Return the version in a tag by the first matching pattern (`v{version}`). Raises BadVersion.

    The text in the pattern's place must be a version exactly as written: a tag is no input of a person.
    """
    reason = _("The tag fits none of the patterns %(patterns)s.") % {"patterns": ", ".join(patterns)}
    for pattern in patterns:
        before, _place, after = pattern.partition(PLACE)
        text = tag.removeprefix(before).removesuffix(after)
        if f"{before}{text}{after}" != tag:
            continue
        try:
            if normalised(text) == text:
                return text
            reason = _("“%(text)s” is not written as a plain version.") % {"text": text}
        except BadVersion as fault:
            reason = str(fault)
    raise BadVersion(reason)


def wrong_pattern(pattern: str) -> str:
    """Return why a text is no pattern for tags, empty when it is one."""
    if pattern.count(PLACE) != 1 or not pattern.replace(PLACE, "").isprintable() or " " in pattern:
        return _("“%(pattern)s” is not a pattern; write {version} once, as in v{version}.") % {"pattern": pattern}
    return ""


def part_for(kinds: Iterable[str], raises: Kinds = KINDS) -> str:
    """Return the part (major, minor, patch) that the most severe type of change requires; patch for none.

    Raises BadVersion for an unknown type: an unweighted change is not small.
    """
    gravest = "patch"
    for kind in kinds:
        if kind not in raises:
            raise BadVersion(_("“%(kind)s” is not a type of change.") % {"kind": kind})
        if _RANK[raises[kind]] > _RANK[gravest]:
            gravest = raises[kind]
    return gravest


def next_version(previous: str | None, kinds: Iterable[str], raises: Kinds = KINDS, taken: Container[str] = ()) -> str:
    """Return the next unused version after the deployed one for these types of change. Raises BadVersion."""
    part = part_for(kinds, raises)
    if previous is not None:
        return str(_after(parse(previous), part, taken))
    return str(_after(parse(FIRST), part, taken)) if FIRST in taken else FIRST


def without_pre_release(version: str) -> str:
    """Return a version without its pre-release and build metadata: 1.2.3 of 1.2.3-beta.1+5. Raises BadVersion."""
    return str(parse(version).finalize_version())


def next_free(version: str, taken: Container[str], pre_releases: Iterable[str] = ()) -> str:
    """Return the first unused version after this one; of a pre-release the next beta. Raises BadVersion.

    pre_releases: the used ones of this version.
    """
    if is_pre_release(version):
        return next_pre_release(version, [*pre_releases, version])
    return str(_after(parse(version), "patch", taken))


def next_pre_release(version: str, taken: Iterable[str]) -> str:
    """Return the next beta of a version, above every used pre-release of it. Raises BadVersion."""
    core = parse(version).finalize_version()
    before = [row for row in map(parse, taken) if row.finalize_version() == core and row.prerelease is not None]
    return str(max(before).bump_prerelease() if before else core.bump_prerelease("beta"))


def faults(
    version: str,
    previous: str | None,
    kinds: Iterable[str],
    production: bool,
    raises: Kinds = KINDS,
    taken: Container[str] = (),
) -> list[str]:
    """Return every fault, as a message that names a suitable version; empty when this one is suitable.

    previous: the deployed version, None for nothing. taken: versions that are never suggested. production: whether the
    release is bound for a production tier. Below 1.0.0, where SemVer promises nothing, a breaking change asks for a
    new minor version only.
    """
    try:
        wanted = parse(version)
        part = part_for(kinds, raises)
        before = parse(previous) if previous is not None else None
    except BadVersion as fault:
        return [str(fault)]
    found = []
    if production and wanted.prerelease is not None:
        core = wanted.finalize_version()
        fits = core
        if before is not None and _too_small(core, before, part):
            fits = _after(before, part, taken)
        elif str(core) in taken:
            fits = _after(core, part, taken)
        found.append(
            _("%(version)s is a pre-release and cannot go to production. A suitable version is %(next)s.")
            % {"version": wanted, "next": fits}
        )
    if before is not None and (text := _too_small(wanted, before, part)):
        found.append(text % {"version": wanted, "previous": before, "next": _after(before, part, taken)})
    return found


def _after(before: semver.Version, part: str, taken: Container[str]) -> semver.Version:
    if before.major == 0 and part == "major":
        part = "minor"
    if before.prerelease is not None:
        found = before.next_version(part)
    else:
        found = {"major": before.bump_major, "minor": before.bump_minor, "patch": before.bump_patch}[part]()
    return _after(found, part, taken) if str(found) in taken else found


def _too_small(wanted: semver.Version, before: semver.Version, part: str) -> str:
    """Return the message (with placeholders) why a version rises too little; empty if it rises enough."""
    order = wanted.compare(before)
    if order == 0 and wanted.build != before.build:
        return _(
            "%(version)s differs from the deployed version %(previous)s only in build metadata, which does not "
            "count. A suitable version is %(next)s."
        )
    if order <= 0:
        return _("%(version)s is not newer than the deployed version %(previous)s. A suitable version is %(next)s.")
    # A pre-release is followed by its own release: 2.0.0 after 2.0.0-rc.1 rises as far as that one did.
    own = before.prerelease is not None and wanted.finalize_version() == before.finalize_version()
    if part == "major" and wanted.major == before.major:
        if before.major > 0 and not (own and wanted.minor == wanted.patch == 0):
            return _(
                "A breaking change needs a new major version. %(version)s does not raise the major version of "
                "%(previous)s. A suitable version is %(next)s."
            )
        if before.major == 0 and wanted.minor == before.minor and not (own and wanted.patch == 0):
            return _(
                "Below 1.0.0 a breaking change needs a new minor version. %(version)s does not raise the minor "
                "version of %(previous)s. A suitable version is %(next)s."
            )
    elif (
        part == "minor"
        and (wanted.major, wanted.minor) == (before.major, before.minor)
        and not (own and wanted.patch == 0)
    ):
        return _(
            "A new feature needs a new minor version. %(version)s does not raise the minor version of "
            "%(previous)s. A suitable version is %(next)s."
        )
    return ""

"""release:read_tags: the version tags in a repository become past releases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Account, Application
from environments.times import ZONE
from releases.models import ChangeEntry, Release
from releases.operations.release.set_version import deployed_version
from releases.queries.repository import refreshed
from releases.sources import git, versions

MOST_CHANGES = 30
# The most skipped tags that the event names; all of them are counted and returned.
MOST_NAMED = 50


@dataclass(frozen=True)
class Found:
    """A tag that names a version, with the changes that it brought."""

    version: str
    tag: git.Tagged
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """The outcome of an import: the versions imported, those known already, and skipped tags with the reason."""

    made: tuple[str, ...]
    known: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def record(
    application: Application,
    wanted: Sequence[str],
    found: Sequence[Found],
    skipped: Sequence[tuple[str, str]],
    *,
    reason: str,
) -> Imported:
    """Import found tags as past releases in one operation, without those that Ringi knows in any state.

    Raises NotPermitted, InvalidInput.
    """
    made, known, changes = list[str](), list[str](), list[ChangeEntry]()
    with operation("release:read_tags", (Application, application.pk), reason=reason) as op:
        author = access.require("plan")
        if faults := [text for pattern in wanted if (text := versions.wrong_pattern(pattern))]:
            raise InvalidInput(*faults)
        there = set(Release.objects.filter(application=application).values_list("version", flat=True))
        for row in found:
            if row.version in there:
                known.append(row.version)
                continue
            changes += _record(application, row, author)
            made.append(row.version)
        # They have no snapshots, and the trigger sees every row; saving them one by one would take most of the time.
        ChangeEntry.objects.bulk_create(changes, batch_size=500)
        op.about(
            application,
            patterns=list(wanted),
            imported=len(made),
            known=len(known),
            skipped=len(skipped),
            versions=[made[0], made[-1]] if made else [],
            skipped_tags=[list(row) for row in skipped[:MOST_NAMED]],
        )
    return Imported(tuple(made), tuple(known), tuple(skipped))


def look(application: Application, patterns: Sequence[str]) -> tuple[list[Found], list[tuple[str, str]]]:
    """Return the versions that the tags name, lowest first, and the skipped tags with the reason. No operation is
    opened.

    Raises SourceUnavailable.
    """
    repository = refreshed(application)
    present = deployed_version(application)
    by_version: dict[str, git.Tagged] = {}
    skipped: list[tuple[str, str]] = []
    for tag in sorted(git.listed(repository), key=lambda row: (_place(row.name, patterns), row.name)):
        try:
            version = versions.of_tag(tag.name, patterns)
        except versions.BadVersion as wrong:
            skipped.append((tag.name, str(wrong)))
            continue
        if why := _not_taken(tag, version, by_version, present):
            skipped.append((tag.name, why))
        else:
            by_version[version] = tag
    order = sorted(by_version, key=lambda text: (versions.parse(text), text))
    brought = git.subjects(repository, [by_version[version].commit for version in order])
    found = []
    for version, subjects in zip(order, brought, strict=True):
        lines = git.named_changes(by_version[version].message, version) or subjects
        found.append(Found(version, by_version[version], tuple(lines)))
    return found, skipped


def _place(name: str, patterns: Sequence[str]) -> int:
    """Return which pattern fits a name, so that the first pattern wins over the others."""
    for place, pattern in enumerate(patterns):
        try:
            versions.of_tag(name, [pattern])
            return place
        except versions.BadVersion:
            continue
    return len(patterns)


def _not_taken(tag: git.Tagged, version: str, taken: dict[str, git.Tagged], present: str | None) -> str:
    """Return why a tag that names a version is skipped; empty when it is not."""
    lengths = ((version, "version"), (tag.name, "tag"), (tag.commit, "commit"))
    if not tag.commit:
        return _("The tag does not name a commit.")
    if version in taken:
        return _("%(tag)s names the same version.") % {"tag": taken[version].name}
    if any(len(text) > (getattr(Release._meta.get_field(name), "max_length", 0) or 0) for text, name in lengths):
        return _("The tag name or the version is too long.")
    if present is not None and versions.compare(version, present) > 0:
        return _("This version is newer than the deployed version %(version)s. Plan a release instead.") % {
            "version": present
        }
    return ""


def made_at(tag: git.Tagged) -> datetime | None:
    """Return when a tag was made, in the zone of the office; None where it does not say."""
    return tag.at.astimezone(ZoneInfo(ZONE)) if tag.at is not None else None


def _record(application: Application, row: Found, author: Account) -> list[ChangeEntry]:
    """Create one past release inside the open operation; return its changes, which are still to be saved."""
    tag = row.tag
    at = made_at(tag)
    day = at.isoformat(timespec="minutes") if at is not None else _("no date")
    shown = at.date().isoformat() if at is not None else _("no date")
    release = Release(
        application=application,
        version=row.version,
        kind=Release.Kind.PRE_RELEASE if versions.is_pre_release(row.version) else Release.Kind.REGULAR,
        title=_("%(version)s of %(date)s") % {"version": row.version, "date": shown},
        author=author,
        tag=tag.name,
        tag_object=tag.object_id,
        commit=tag.commit,
        tree=tag.tree,
        reason=_("This release was imported from the tag %(tag)s of %(date)s.") % {"tag": tag.name, "date": day},
    )
    release.save()
    release.mark_imported()
    release.save()
    kept = row.changes[:MOST_CHANGES]
    changes = [ChangeEntry(release=release, kind=git.kind_of(text), text=_short(text), author=author) for text in kept]
    if len(row.changes) > MOST_CHANGES:
        rest = _("and %(count)d more, listed in the repository") % {"count": len(row.changes) - MOST_CHANGES}
        changes.append(ChangeEntry(release=release, kind=ChangeEntry.Kind.SMALL, text=rest, author=author))
    return changes


def _short(text: str) -> str:
    plain = " ".join(text.replace("\0", "").split())
    return plain if len(plain) <= 300 else f"{plain[:299]}…"

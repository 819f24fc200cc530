"""Change entries that the merge requests of a release suggest, for a person to confirm."""

import re
from dataclasses import dataclass

from releases.models import MergeRequest, Release
from releases.sources import git

_PREFIX = re.compile(r"^\w+(?:\([^()]*\))?!?:\s+")
_LABELS = {"breaking": "breaking", "bug": "fix", "fix": "fix", "enhancement": "feature", "feature": "feature"}


@dataclass(frozen=True)
class Suggested:
    """The entry of one merge request."""

    number: int
    kind: str
    text: str
    ticket: str


def suggested_changes(release: Release) -> list[Suggested]:
    """Return an entry for each merge request, in the order of merging, that no entry of the release has the text of."""
    there = {change.text for change in release.changes.all()}
    found = [_of(request) for request in reversed(release.merge_requests.all())]
    return [one for one in found if one.text not in there]


def _of(request: MergeRequest) -> Suggested:
    kind = git.kind_of(request.title)
    named = _PREFIX.match(request.title) if kind != "small" else None
    if kind == "small":
        words = {word for label in request.labels for word in re.split(r"\W+", str(label).lower())}
        kind = next((kind for label, kind in _LABELS.items() if label in words), "small")
    text = request.title[named.end() :] if named else request.title
    return Suggested(request.number, kind, text, ", ".join(request.tickets)[:100])

"""The authors and committers of what a commit brings to production, by their Git addresses."""

from collections.abc import Callable, Iterator
from pathlib import Path

from environments.models import Application, Environment
from releases.models import Deployment
from releases.sources import git

# So many earlier deployments are looked through, the last first.
MOST_DEPLOYMENTS = 50
type Reading = Callable[[Path, str | None, str], list[str]]


def people(reading: Reading, application: Application, repository: Path, base: str | None, commit: str) -> list[str]:
    """Return what `git.authors` or `git.committers` (reading) says of what a commit brings. base: the deployed commit.

    A commit that does not hold the base undoes commits of it, and so may bring back what these had reverted. Then the
    commits since the last deployed one that it does hold count as well: their content was never deployed as it is.
    Raises SourceUnavailable, NoSuchRevision.
    """
    found = reading(repository, base, commit)
    if base is None or git.is_ancestor(repository, base, commit):
        return found
    others = (one for one in _deployed(application) if one != commit)  # it may run in a part of production already
    earlier = next((one for one in others if git.is_ancestor(repository, one, commit)), None)
    return list(dict.fromkeys([*found, *(reading(repository, earlier, commit) if earlier is not None else [])]))


def _deployed(application: Application) -> Iterator[str]:
    """Yield the commits that ran in production, each once, the last first: of verified deployments, and of what each
    deployment found there.
    """
    rows = Deployment.objects.filter(
        application=application, environment__tier=Environment.Tier.PRODUCTION, started_at__isnull=False
    )
    seen = set[str]()
    for state, previous in rows.order_by("-started_at", "-pk").values_list("state", "previous")[:MOST_DEPLOYMENTS]:
        for name in ("wanted", "deployed_version"):
            commit = previous.get(name, {}).get("commit", "")
            if commit and commit not in seen and (name != "wanted" or state in Deployment.VERIFIED):
                seen.add(commit)
                yield commit

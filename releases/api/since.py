"""What a deployment would bring since the last one, as the API answers it."""

from ninja import Schema

from environments.difference import difference
from environments.models import ConfigurationVersion
from releases.models import DeployedVersion
from releases.queries.changes_since import Since


class CommitOut(Schema):
    """A commit: its full id, subject, author's name and when it was written."""

    commit: str
    subject: str
    author: str
    at: str


class SinceOut(Schema):
    """What a deployment would bring on top of the version that is active in an environment (null: none).

    `known` false: the distance is not known, `words` says why. `commits`: the newest ones of `ahead`; `configuration`:
    the keys that are added, removed or changed by the configuration chosen (null: none is chosen).
    """

    version: str | None
    words: str
    known: bool
    ahead: int
    behind: int
    commits: list[CommitOut]
    configuration: list[str] | None


def since_out(row: Since, pointer: DeployedVersion | None, chosen: ConfigurationVersion | None) -> SinceOut:
    """Return what is new in one environment."""
    before = pointer.configuration if pointer is not None else None
    return SinceOut(
        version=row.version or None,
        commits=[CommitOut(**commit) for commit in row.commits],
        configuration=[r.key for r in difference(before, chosen) if r.mark != "same"] if chosen is not None else None,
        **{name: getattr(row, name) for name in ("words", "known", "ahead", "behind")},
    )

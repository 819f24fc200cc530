"""The form that selects the commit of a release: the heads of fitting branches to pick, or a branch and revision."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from audit.refusals import InvalidInput
from environments.calendar import print_time
from environments.language import language
from releases.admin.operations.base import Preview, zone_of
from releases.admin.operations.fields import length, text
from releases.gates.base import procedure_of
from releases.gates.source import branches_for
from releases.models import Release
from releases.operations.release import select_commit
from releases.queries import changes_since
from releases.queries.repository import place_of
from releases.sources import git

MOST_OFFERED = 8


class Picks(forms.RadioSelect):
    """Commits to pick from. One that was picked stays, also when a push has put another in its place since."""

    def optgroups(self, name: str, value: list[str], attrs: Any = None) -> Any:
        """Return the choices with the picked one among them."""
        offered = {choice for choice, _words in self.choices}
        self.choices = [*((one, one) for one in value if one not in offered), *self.choices]
        return super().optgroups(name, value, attrs)


def fields(instance: Any) -> Mapping[str, forms.Field]:
    """Return the fields; those to pick from are left out while there are none."""
    found: dict[str, forms.Field] = {}
    offered = _offered(instance) if isinstance(instance, Release) else []
    if offered:
        widget = Picks(choices=[*offered, ("", _("another commit"))])
        found["pick"] = forms.CharField(label=_("commit"), required=False, widget=widget, max_length=400)
    return found | {
        "branch": text(_("source branch"), required=False, most=length(Release, "branch")),
        "revision": text(_("commit, branch or tag (empty: the head of the branch)"), required=False),
        "expected_commit": forms.CharField(
            required=False, widget=forms.HiddenInput(), max_length=length(Release, "commit")
        ),
        "accept_rolled_back": forms.BooleanField(
            label=_("Select this commit although it was rolled back before"), required=False
        ),
    }


def _offered(release: Release) -> list[tuple[str, str]]:
    """Return `commit branch` and words of the head of each branch that fits the release, the newest first. They are
    those of the last reading: no network is asked.
    """
    patterns = branches_for(release.kind, procedure_of(release))
    try:
        heads = git.heads(place_of(release.application))
    except git.SourceUnavailable:
        return []
    fitting = set(git.head_accepts((name for name, _one in heads), patterns))
    return [
        (f"{one.commit} {name}", f"{name} · {one.commit[:10]} · {one.subject} · {one.author} · {_day(release, one.at)}")
        for name, one in heads
        if name in fitting
    ][:MOST_OFFERED]


def _day(release: Release, at: str) -> str:
    moment: datetime | None = changes_since.written_at({"at": at})
    return print_time(moment, zone_of(release), language()) if moment is not None else "—"


def _named(pick: str, branch: str, revision: str) -> tuple[str, str]:
    """Return branch and revision of a pick, or those that were typed. Raises InvalidInput for both."""
    if not pick:
        return branch, revision
    if branch.strip() or revision.strip():
        raise InvalidInput(gettext("Pick a commit, or name its branch, not both."))
    commit, _blank, name = pick.partition(" ")
    return name, commit


def preview(release: Release, values: dict[str, Any]) -> Preview:
    """Show the commit that would be selected, before it is."""
    branch, revision = _named(values.get("pick", ""), values["branch"], values["revision"])
    seen = select_commit.look(release.pk, branch=branch, revision=revision)
    rows = [
        (str(_("commit")), f"{seen.subject}\n{seen.author} · {_day(release, seen.at)}\n{seen.commit}"),
        *((f"→ {row.environment}", row.words) for row in seen.distances),
    ]
    if seen.tag_elsewhere:
        rows.append((str(_("tag")), seen.tag_elsewhere))
    if seen.rolled_back:
        rows.insert(0, (str(_("Rolled back before")), "\n".join(seen.rolled_back)))
    asks = frozenset({"accept_rolled_back"} if seen.rolled_back else ())
    return Preview(rows, held={"expected_commit": seen.commit}, asks=asks)


def select(release_id: int, *, pick: str = "", branch: str = "", revision: str = "", **given: Any) -> Release:
    """Select the commit that was picked, or that branch and revision name."""
    branch, revision = _named(pick, branch, revision)
    return select_commit.select_commit(release_id, branch=branch, revision=revision, **given)

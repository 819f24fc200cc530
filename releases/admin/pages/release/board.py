"""The preparation board: what a release still needs for its next stage, each with its form, and who may fill it in."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from environments.admin.rights import Rights
from environments.language import listed
from environments.models import AccessRule, Environment
from environments.models.role import roles
from environments.roles import LEVELS
from releases.admin.operations import verb as find
from releases.admin.operations.availability import offered
from releases.gates.base import Known
from releases.models import Milestone, Procedure, Release
from releases.operations.milestone.remind import turn_of
from releases.operations.release.prepare import held_by, overdue_words
from releases.operations.release.readiness import Item, for_scope, for_testing

MAIN = {
    "draft": "release:lock_scope",
    "scope_locked": "release:complete_testing deployment:request",
    "testing_completed": "release:submit release:close",
    "approved": "release:sign_final_check",
    "final_check_completed": "deployment:request",
}


@dataclass(frozen=True)
class Line:
    """One item. url: of the form that brings it, for who may use it; else of its place on the page. who: the roles that
    may bring it.
    """

    item: Item
    url: str
    who: str


@dataclass(frozen=True)
class Board:
    """The items of the next stage, those that are missing first; due: the milestone by which it must be reached."""

    stage: str
    lines: list[Line]
    due: Milestone | None

    @property
    def ready(self) -> int:
        """Return how many are there."""
        return sum(line.item.ready for line in self.lines)

    @property
    def missing(self) -> list[str]:
        """Return the operations that bring what is missing, in their order."""
        return list(dict.fromkeys(line.item.verb for line in self.lines if line.item.verb and not line.item.ready))


def board_of(release: Release, rights: Rights, known: Known) -> Board | None:
    """Return the board of a release in preparation; None before it, after it, and without an environment."""
    if not known.places or release.state not in ("draft", "scope_locked"):
        return None
    procedure = Procedure.objects.of(release.application)
    if procedure is None:
        return None
    is_draft = release.state == "draft"
    stage = _("Lock scope") if is_draft else _("Complete testing")
    items = for_scope(release, procedure.document) if is_draft else for_testing(release, known)
    late = held_by(release, "lock_scope" if is_draft else "complete_testing", known.moment)
    items += [Item(str(row), (overdue_words(row),), "release:set_scheduled_start") for row in late]
    holders = _Roles(known.places)
    lines = [Line(item, _url(release, rights, item), holders.holding(item.verb)) for item in items]
    return Board(stage, sorted(lines, key=lambda line: line.item.ready), turn_of(release))


def _url(release: Release, rights: Rights, item: Item) -> str:
    verb = find(*item.verb.split(":")) if item.verb else None
    if verb is not None and item.verb != "checklist:sign":
        row = release if verb.model is Release else release.application
        if offered(verb, rights, row) and not verb.not_now(row):
            return verb.url(row.pk)
    if item.verb == "checklist:sign" and rights.anywhere("sign_checklist"):
        return reverse("sign-all", args=[release.pk])
    return f"#{item.anchor}"


class _Roles:
    """The roles that may do something: by their own rights, or by their level in one of some environments."""

    def __init__(self, places: Iterable[Environment]) -> None:
        rules = AccessRule.objects.filter(environment__in=list(places)).values_list("role__key", "level")
        self._rights = {key: set(role.permissions) for key, role in roles().items() if role.may_be_granted}
        for role, level in rules:
            if role in self._rights:
                self._rights[role] |= LEVELS[level]

    def holding(self, key: str) -> str:
        """Return the names of the roles that have a right for an operation (`noun:verb`), in their usual order."""
        verb = find(*key.split(":")) if key else None
        wanted = set(verb.rights) if verb is not None else set()
        return listed(roles()[role] for role, rights in self._rights.items() if rights & wanted)


def at_hand(board: Board | None, release: Release, *, open_way: bool) -> str:
    """Return the operations that come next, separated by blanks. open_way: no gate is in the way of a deployment."""
    return " ".join(
        [
            *(board.missing if board is not None else ()),
            MAIN.get(release.state, ""),
            "deployment:request" if open_way else "",
        ]
    )

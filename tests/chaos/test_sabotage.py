"""One sabotage per chapter, in a copy of the tree: it turns exactly that chapter of the demo's report false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.chaos.tree import Tree

CHAPTERS = ("Set up", "Plan", "Prove", "Approve", "Deploy", "Survive", "Roll back", "Audit")
BOUND_SECONDS = 900  # a hang; a loaded machine needs several times what a quiet one does


@dataclass(frozen=True)
class Sabotage:
    """What is broken for which chapter: one text in one file."""

    chapter: str
    what: str
    file: str
    text: str
    put: str


SABOTAGES = (
    Sabotage(
        "Set up",
        "who gave a deciding role may confirm it himself",
        "environments/operations/access/grant.py",
        "if first is not None and second.is_among(first.identities):",
        "if False:",
    ),
    Sabotage(
        "Plan",
        "a release may be planned outside of every window",
        "releases/operations/release/dates.py",
        "if not answer.open:",
        "if False:",
    ),
    Sabotage(
        "Prove",
        "coverage is compared with two digits",
        "releases/evidence_readers/coverage.py",
        'if rate >= Fraction(Decimal(limits["coverage_min"]))',
        'if round(rate, 2) >= Fraction(Decimal(limits["coverage_min"]))',
    ),
    Sabotage(
        "Approve",
        "the author may approve, who is the requester too",
        "releases/gates/authorship.py",
        "    return _by_person((approval_request.pk for approval_request in approval_requests), duties, commits)\n",
        "    return {approval_request.pk: {} for approval_request in approval_requests}\n",
    ),
    Sabotage(
        "Deploy",
        "the person who scheduled the deployment may verify it",
        "releases/operations/deployment/verify.py",
        "if deployment.was_started_by(account):",
        "if False:",
    ),
    Sabotage(
        "Survive",
        "a lease outlives its worker by more than 20 s",
        "config/settings.py",
        'env.float("RINGI_LEASE_DURATION", 15.0)',
        'env.float("RINGI_LEASE_DURATION", 40.0)',
    ),
    Sabotage(
        "Roll back",
        "one digit of the restored configuration is another",
        "releases/step_types/configuration_update.py",
        "        wanted = digest_of(content)\n",
        '        if parameters.direction == "rollback":\n'
        """            content = content.replace(b'CACHE_SECONDS="5"', b'CACHE_SECONDS="6"')\n"""
        "        wanted = digest_of(content)\n",
    ),
    Sabotage(
        "Audit",
        "the auditor may plan",
        "environments/roles.py",
        '"auditor": frozenset({"read", "audit", "restore_procedure"})',
        '"auditor": frozenset({"read", "audit", "plan"})',
    ),
)


@pytest.mark.timeout(BOUND_SECONDS + 60)
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda row: row.chapter.replace(" ", "-").lower())
def test_a_sabotage_turns_exactly_its_chapter_false(
    sabotage: Sabotage, tree: Tree, record_property: Callable[[str, object], None]
) -> None:
    tree.replace(sabotage.file, sabotage.text, sabotage.put)
    status = tree.play(BOUND_SECONDS)
    chapters = tree.report()["chapters"]
    false = [chapter["name"] for chapter in chapters if not chapter["ok"]]
    said = next((chapter["proof"]["failed"] for chapter in chapters if not chapter["ok"]), "")
    record_property("row", (sabotage.chapter, sabotage.what, ", ".join(false) or "none", said[:90]))
    assert [chapter["name"] for chapter in chapters] == list(CHAPTERS)
    assert false == [sabotage.chapter], [chapter["proof"] for chapter in chapters if not chapter["ok"]]
    assert status != 0


def test_there_is_one_sabotage_per_chapter() -> None:
    assert tuple(row.chapter for row in SABOTAGES) == CHAPTERS

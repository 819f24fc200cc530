"""Where a round of consent stands, for the pages that show one: who has consented, who is missing, why not the reader."""

from __future__ import annotations

from dataclasses import dataclass

from environments.models import Account
from environments.roles import ROLE_CHOICES
from releases.actions.consent.decide import DUTIES
from releases.admin.shown import missing_persons
from releases.gates import quorum
from releases.models import ConsentRound


@dataclass(frozen=True)
class Standing:
    """An open round as its page tells it. `why_not` is empty when the reader may still give his word."""

    missing: list[tuple[str, int]]
    missing_words: str
    stage: int
    candidates: list[Account]
    why_not: str
    given: bool


def words_for(missing: list[tuple[str, int]]) -> str:
    """Return the missing roles in words."""
    names = {key: str(name) for key, name in ROLE_CHOICES}
    return ", ".join(f"{names.get(role, role)} ({missing_persons(count)})" for role, count in missing)


def standing_of(round_: ConsentRound, account: Account | None) -> Standing:
    """Return where an open round stands, and why the reader cannot consent to it if so."""
    where = quorum.standing(quorum.rules_of(round_), quorum.persons_of(round_))
    missing = [(role, count) for role, count in where.missing]
    kept_out = (
        quorum.excluded(round_.release)
        if round_.release is not None
        else {round_.applicant.person_key: "applicant"}
    )
    person = account.person_key if account is not None else ""
    given = any(a.account.person_key == person for a in round_.approvals.all())
    duty = kept_out.get(person, "")
    return Standing(
        missing=missing,
        missing_words=words_for(missing),
        stage=where.stage,
        candidates=quorum.candidates(round_),
        why_not=str(DUTIES[duty]) if duty else "",
        given=given,
    )

"""What consent means, once more and in plain sets: the machine of the tests compares the product with it.

It is written from the rules alone (quorum, separation of duties, digest, single use, expiry) and imports nothing of
the product. Persons are names; `content` stands for everything that the digest covers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NEEDED = 2  # committee members, for a regular release and an emergency alike
SIGNERS = ("release_manager", "operator")
BEFORE = ("draft", "scope_locked", "testing_completed", "in_review", "approved", "final_check_completed")
WAITING = ("requested", "scheduled", "queued")


@dataclass
class Round:
    """One approval request."""

    content: dict[str, Any]
    requester: str
    state: str = "in_review"
    said: set[str] = field(default_factory=set)
    words: list[tuple[str, str]] = field(default_factory=list)
    expired: bool = False

    @property
    def yes(self) -> int:
        """Return how many approvals were given, whether they still count or not."""
        return len(self.words)

    @property
    def live(self) -> bool:
        """Tell whether it can still lead to a start."""
        return self.state in ("in_review", "approved")


@dataclass
class Reference:
    """One release with its rounds and its run in production."""

    roles: dict[str, set[str]]
    author: str
    makers: set[str]
    delegates: set[tuple[str, str]] = field(default_factory=set)
    state: str = "testing_completed"
    content: dict[str, Any] = field(default_factory=dict)
    editors: set[str] = field(default_factory=set)
    waived_by: set[str] = field(default_factory=set)
    waivers: dict[str, tuple[str, bool]] = field(default_factory=dict)
    approval_requests: list[Round] = field(default_factory=list)
    spoken: set[str] = field(default_factory=set)
    finals: dict[str, str] = field(default_factory=dict)
    deployment: str = ""
    starter: str = ""
    starters: set[str] = field(default_factory=set)
    conditions: int = 0
    starts: int = 0

    # What is asked

    @property
    def round(self) -> Round | None:
        """Return the latest round."""
        return self.approval_requests[-1] if self.approval_requests else None

    @property
    def live(self) -> Round | None:
        """Return the round that is live."""
        return self.round if self.round is not None and self.round.live else None

    def has(self, person: str, *roles: str) -> bool:
        """Tell whether a person holds one of the roles now."""
        return bool(self.roles[person] & set(roles))

    def kept_out(self) -> set[str]:
        """Return who made it, waived for it or started it, and who applied for what is live."""
        out = {self.author} | self.makers | self.editors | self.waived_by | self.starters
        return out | ({self.live.requester} if self.live is not None else set())

    def met(self) -> bool:
        """Tell whether enough approvals count now: given for somebody who still holds the role, by nobody who is kept out."""
        live, out = self.live, self.kept_out()
        words = live.words if live is not None else []
        return (
            sum(self.has(absent or person, "committee") and not {person, absent} & out for person, absent in words)
            >= NEEDED
        )

    def stale(self) -> bool:
        """Tell whether the live round is about something else than there is now, is over, or is granted by too few."""
        live = self.live
        if live is None:
            return False
        return live.expired or live.content != self.content or (live.state == "approved" and not self.met())

    def may_speak(self, person: str, absent: str = "") -> bool:
        """Tell whether a person's word counts in the open round, his own or in another's place."""
        live = self.live
        if live is None or live.state != "in_review" or (absent and (person, absent) not in self.delegates):
            return False
        both = {person, absent} - {""}
        return self.has(absent or person, "committee") and not both & self.kept_out() and not both & live.said

    def may_approve(self, person: str, absent: str = "", *, shown: bool = True) -> bool:
        """Tell whether an approval counts; `shown`: the person saw what was applied for."""
        return shown and self.may_speak(person, absent) and not self.stale()

    def may_sign(self, person: str) -> str:
        """Return the role in which a person may sign the final check now; empty for none."""
        live = self.live
        open_roles = [role for role in SIGNERS if role not in self.finals and role in self.roles[person]]
        if self.state != "approved" or person in self.finals.values() or live is None:
            return ""
        return open_roles[0] if open_roles and live.state == "approved" and live.content == self.content else ""

    def may_run(self) -> bool:
        """Tell whether consent lets a run start now."""
        live = self.live
        return live is not None and live.state == "approved" and not self.stale() and not self.conditions

    # What happens

    def end_round(self, state: str) -> None:
        """End what is live, and with it the final check and what waits to run."""
        if self.live is not None:
            self.live.state = state
        self.finals = {}
        self.conditions = 0
        if self.deployment in WAITING:
            self.deployment = "cancelled"

    def move(self, state: str, round_state: str) -> None:
        """Take the release elsewhere and end its round."""
        self.end_round(round_state)
        self.state = state

    def submit(self, person: str) -> None:
        """Open a round about the content as it is."""
        self.approval_requests.append(Round(content=self.frozen(), requester=person))
        self.state, self.finals = "in_review", {}

    def frozen(self) -> dict[str, Any]:
        """Return a copy of the content."""
        return {key: set(value) if isinstance(value, set) else value for key, value in self.content.items()}

    def say(self, person: str, absent: str = "") -> Round:
        """Keep who has given his word."""
        live = self.live
        assert live is not None
        live.said |= {person, absent} - {""}
        self.spoken |= {person, absent} - {""}
        return live

    def approve(self, person: str, absent: str = "", *, condition: bool = False) -> None:
        """Count a yes; the last one grants."""
        live = self.say(person, absent)
        live.words.append((person, absent))
        self.conditions += condition
        if self.met():
            live.state, self.state = "approved", "approved"

    def sign(self, person: str) -> None:
        """Keep a signature of the final check; the last one confirms."""
        self.finals[self.may_sign(person)] = person
        if len(self.finals) == len(SIGNERS):
            self.state = "final_check_completed"

    def start(self) -> None:
        """Use the approval."""
        live = self.live
        assert live is not None
        live.state, self.state, self.deployment = "used", "releasing", "running"
        self.starts += 1

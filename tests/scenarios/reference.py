"""The meaning of an approval, once more and in plain sets: the machine of the tests compares the product with it.

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
class ReferenceRequest:
    """One approval request."""

    content: dict[str, Any]
    requester: str
    state: str = "in_review"
    deciders: set[str] = field(default_factory=set)
    approvals: list[tuple[str, str]] = field(default_factory=list)
    expired: bool = False

    @property
    def given(self) -> int:
        """Return how many approvals were given, including those that no longer count."""
        return len(self.approvals)

    @property
    def live(self) -> bool:
        """Tell whether it can still lead to a start."""
        return self.state in ("in_review", "approved")


@dataclass
class Reference:
    """One release with its approval requests and its deployment in production."""

    roles: dict[str, set[str]]
    author: str
    makers: set[str]
    delegates: set[tuple[str, str]] = field(default_factory=set)
    state: str = "testing_completed"
    content: dict[str, Any] = field(default_factory=dict)
    editors: set[str] = field(default_factory=set)
    waived_by: set[str] = field(default_factory=set)
    waivers: dict[str, tuple[str, bool]] = field(default_factory=dict)
    requests: list[ReferenceRequest] = field(default_factory=list)
    past_deciders: set[str] = field(default_factory=set)
    signatures: dict[str, str] = field(default_factory=dict)
    deployment: str = ""
    starter: str = ""
    starters: set[str] = field(default_factory=set)
    conditions: int = 0
    starts: int = 0

    # Queries

    @property
    def request(self) -> ReferenceRequest | None:
        """Return the latest approval request."""
        return self.requests[-1] if self.requests else None

    @property
    def live(self) -> ReferenceRequest | None:
        """Return the live approval request."""
        return self.request if self.request is not None and self.request.live else None

    def has(self, person: str, *roles: str) -> bool:
        """Tell whether a person holds one of the roles now."""
        return bool(self.roles[person] & set(roles))

    def kept_out(self) -> set[str]:
        """Return the people who made it, waived for it or started it, and the submitter of the live request."""
        out = {self.author} | self.makers | self.editors | self.waived_by | self.starters
        return out | ({self.live.requester} if self.live is not None else set())

    def met(self) -> bool:
        """Tell whether enough approvals count now: by holders of the role, and by nobody who is kept out."""
        live, out = self.live, self.kept_out()
        approvals = live.approvals if live is not None else []
        return (
            sum(self.has(absent or person, "committee") and not {person, absent} & out for person, absent in approvals)
            >= NEEDED
        )

    def stale(self) -> bool:
        """Tell whether the live request is about other content, is over, or is approved by too few."""
        live = self.live
        if live is None:
            return False
        return live.expired or live.content != self.content or (live.state == "approved" and not self.met())

    def may_decide(self, person: str, absent: str = "") -> bool:
        """Tell whether a person's decision counts in the open request, for themselves or for another."""
        live = self.live
        if live is None or live.state != "in_review" or (absent and (person, absent) not in self.delegates):
            return False
        both = {person, absent} - {""}
        return self.has(absent or person, "committee") and not both & self.kept_out() and not both & live.deciders

    def may_approve(self, person: str, absent: str = "", *, shown: bool = True) -> bool:
        """Tell whether an approval counts; `shown`: the person saw the submitted content."""
        return shown and self.may_decide(person, absent) and not self.stale()

    def may_sign(self, person: str) -> str:
        """Return the role in which a person may sign the final check now; empty for none."""
        live = self.live
        open_roles = [role for role in SIGNERS if role not in self.signatures and role in self.roles[person]]
        if self.state != "approved" or person in self.signatures.values() or live is None:
            return ""
        return open_roles[0] if open_roles and live.state == "approved" and live.content == self.content else ""

    def may_deploy(self) -> bool:
        """Tell whether the approval lets a deployment start now."""
        live = self.live
        return live is not None and live.state == "approved" and not self.stale() and not self.conditions

    # Events

    def end_request(self, state: str) -> None:
        """End the live request, and with it the final check and the waiting deployment."""
        if self.live is not None:
            self.live.state = state
        self.signatures = {}
        self.conditions = 0
        if self.deployment in WAITING:
            self.deployment = "cancelled"

    def move(self, state: str, request_state: str) -> None:
        """Move the release to another state and end its request."""
        self.end_request(request_state)
        self.state = state

    def submit(self, person: str) -> None:
        """Open a request for the present content."""
        self.requests.append(ReferenceRequest(content=self.frozen(), requester=person))
        self.state, self.signatures = "in_review", {}

    def frozen(self) -> dict[str, Any]:
        """Return a copy of the content."""
        return {key: set(value) if isinstance(value, set) else value for key, value in self.content.items()}

    def decide(self, person: str, absent: str = "") -> ReferenceRequest:
        """Record who has decided."""
        live = self.live
        assert live is not None
        live.deciders |= {person, absent} - {""}
        self.past_deciders |= {person, absent} - {""}
        return live

    def approve(self, person: str, absent: str = "", *, condition: bool = False) -> None:
        """Count an approval; the last one completes the request."""
        live = self.decide(person, absent)
        live.approvals.append((person, absent))
        self.conditions += condition
        if self.met():
            live.state, self.state = "approved", "approved"

    def sign(self, person: str) -> None:
        """Record a signature of the final check; the last one completes it."""
        self.signatures[self.may_sign(person)] = person
        if len(self.signatures) == len(SIGNERS):
            self.state = "final_check_completed"

    def start(self) -> None:
        """Use the approval."""
        live = self.live
        assert live is not None
        live.state, self.state, self.deployment = "used", "releasing", "running"
        self.starts += 1

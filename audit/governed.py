"""The one list of governed tables: every insert, update and delete in them leaves an event; a column may be left out.

Not governed, and why: sessions, axes' counters, migrations and content types (the framework's own), django_rq (wake-ups
only), the API's remembered answers, step output, samples and checks of watches (measured series), the outbox (a queue of messages), simple-history's
tables (copies for reading), StepAttempt's output digest is governed with its row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Governed:
    """One table. `ungoverned`: columns whose change alone makes no event. `secret`: columns kept as keyed digest."""

    model: str
    ungoverned: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()


GOVERNED: tuple[Governed, ...] = (
    Governed("environments.Account", frozenset({"last_login"}), frozenset({"password", "pending_password"})),
    Governed("environments.Account.groups"),
    Governed("environments.Account.user_permissions"),
    Governed("environments.Token", frozenset(), frozenset()),
    Governed("environments.Token.environments"),
    Governed("environments.Environment"),
    Governed("environments.Application"),
    Governed("environments.Target", frozenset({"seen_at"})),
    Governed("environments.ConfigurationVersion", frozenset(), frozenset({"sealed"})),
    Governed("environments.ConfigurationCheck"),
    Governed("environments.AccessRule"),
    Governed("environments.AccessGrant"),
    Governed("environments.ChangeWindow"),
    Governed("environments.Freeze"),
    Governed("environments.CompanyHoliday"),
    Governed("environments.CalendarFeed"),
    Governed("environments.Deputy"),
    Governed("environments.AccessRequest"),
    Governed("environments.AccessReview"),
    Governed("environments.AccessReviewItem"),
    Governed("releases.Procedure"),
    Governed("releases.Release"),
    Governed("releases.Release.editors"),
    Governed("releases.Change"),
    Governed("releases.Milestone"),
    Governed("releases.ChecklistItem"),
    Governed("releases.RosterEntry"),
    Governed("releases.FinalCheck"),
    Governed("releases.Evidence"),
    Governed("releases.Fact"),
    Governed("releases.StopSwitch"),
    Governed("releases.ConsentRound"),
    Governed("releases.Approval"),
    Governed("releases.Meeting"),
    Governed("releases.Meeting.attendees"),
    Governed("releases.MeetingDecision"),
    Governed("releases.Waiver"),
    Governed("releases.Document"),
    Governed("releases.Deployment", frozenset({"not_before"})),
    Governed("releases.Step", frozenset({"lease_until"})),
    Governed("releases.StepAttempt"),
    Governed("releases.Question"),
    Governed("releases.InForce"),
    Governed("releases.Watch", frozenset({"next_at", "checks_at"})),
    Governed("releases.Rollback"),
    Governed("releases.Obligation"),
    Governed("releases.Stakeholder"),
    Governed("releases.Member"),
    Governed("releases.MessageChannel", frozenset(), frozenset({"sealed"})),
    Governed("releases.MessageRule"),
    Governed("releases.MessageText"),
    Governed("releases.Notice"),
    Governed("releases.Message", frozenset({"read_at"})),
    Governed("releases.Delivery", frozenset({"tries", "next_at", "lease_until", "last_error"})),
    Governed("releases.DeadAddress"),
    Governed("mfa.Authenticator", frozenset({"last_used_at"}), frozenset({"data"})),
    Governed("audit.Continuation"),
    Governed("audit.CheckpointAddress"),
    Governed("auth.Group"),
    Governed("auth.Group.permissions"),
)

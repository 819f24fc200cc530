"""The one list of governed tables: every insert, update and delete in them leaves an event; a column may be left out.

Beside it the tables that are not governed, and why. What stands in neither list is named by `manage.py audit_verify`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Governed:
    """One table. `ungoverned`: columns whose change alone makes no event. `secret`: columns kept as keyed digest."""

    model: str
    ungoverned: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()


GOVERNED: tuple[Governed, ...] = (
    Governed("environments.Account", frozenset({"last_login"}), frozenset({"password", "invitation"})),
    Governed("environments.Account.groups"),
    Governed("environments.Account.user_permissions"),
    Governed("environments.Token", frozenset(), frozenset()),
    Governed("environments.Token.environments"),
    Governed("environments.Environment"),
    Governed("environments.Application"),
    Governed("environments.DeploymentTarget"),
    Governed("environments.RequestedChange"),
    Governed("environments.ConfigurationVersion", frozenset(), frozenset({"encrypted"})),
    Governed("environments.ConfigurationCheck"),
    Governed("environments.AccessRule"),
    Governed("environments.AccessGrant"),
    Governed("environments.ChangeWindow"),
    Governed("environments.ChangeFreeze"),
    Governed("environments.Holiday"),
    Governed("environments.CalendarFeed"),
    Governed("environments.Delegation"),
    Governed("environments.AccessRequest"),
    Governed("environments.AccessReview"),
    Governed("environments.AccessReviewItem"),
    Governed("releases.Procedure"),
    Governed("releases.Release"),
    Governed("releases.Release.editors"),
    Governed("releases.ChangeEntry"),
    Governed("releases.Milestone"),
    Governed("releases.ChecklistItem"),
    Governed("releases.TeamMember"),
    Governed("releases.FinalCheck"),
    Governed("releases.Evidence"),
    Governed("releases.Fact"),
    Governed("releases.EmergencyStop"),
    Governed("releases.ApprovalRequest"),
    Governed("releases.ApprovalDecision"),
    Governed("releases.CommitteeMeeting"),
    Governed("releases.CommitteeMeeting.attendees"),
    Governed("releases.MeetingDecision"),
    Governed("releases.Waiver"),
    Governed("releases.Document"),
    Governed("releases.Deployment", frozenset({"not_before"})),
    Governed("releases.Step", frozenset({"lease_until"})),
    Governed("releases.StepAttempt"),
    Governed("releases.DecisionRequest"),
    Governed("releases.DeployedVersion"),
    Governed("releases.Drift"),
    Governed("releases.MonitoringPeriod", frozenset({"next_at", "next_checks_at"})),
    Governed("releases.Rollback"),
    Governed("releases.FollowUp"),
    Governed("releases.RecipientGroup"),
    Governed("releases.GroupRecipient"),
    Governed(
        "releases.NotificationChannel",
        frozenset({"next_send_at", "failures", "last_failure"}),
        frozenset({"encrypted"}),
    ),
    Governed("releases.NotificationRule"),
    Governed("releases.NotificationTemplate"),
    Governed("releases.Notification"),
    Governed("releases.InboxItem", frozenset({"read_at"})),
    Governed("releases.NotificationDelivery", frozenset({"tries", "next_at", "due_at", "last_error"})),
    Governed("releases.SuppressedAddress"),
    Governed("mfa.Authenticator", frozenset({"last_used_at"}), frozenset({"data"})),
    Governed("audit.LedgerResumption"),
    Governed("audit.Verification"),
    Governed("audit.CheckpointDelivery"),
    Governed("auth.Group"),
    Governed("auth.Group.permissions"),
)

# Tables without a row trigger, and why.
NOT_GOVERNED: dict[str, str] = {
    "audit_event": "the ledger itself",
    "audit_ledgerentry": "the ledger itself",
    "audit_ledgerhead": "the ledger itself",
    "audit_checkpoint": "the ledger itself",
    "audit_digest_key": "the key of masked columns; no role of the application reads it",
    "audit_operation_role": "which database role may cause which operation; written by migrate alone, compared by audit_verify",
    "audit_outbox": "messages made of events; their digests stand in events (audit.cover)",
    "audit_reconciliation": "how far a comparison is; its outcome is an event",
    "releases_releaseimport": "how far an import is; what is asked, confirmed and imported are events",
    "releases_pollfailure": "how often something failed; that it is suspended and who lets it be tried anew are events",
    "releases_heartbeat": "when the scheduler was at work last",
    "releases_stepoutput": "output in chunks; their digests stand in events (audit.cover)",
    "releases_measurement": "a measured series; its digests stand in events (audit.cover)",
    "releases_targetmeasurement": "the last measurement of a target; a difference is a drift, which is governed",
    "releases_monitoringcheck": "a measured series; its digests stand in events (audit.cover)",
    "django_content_type": "the framework's own list of models",
    "django_migrations": "the framework's own list of migrations",
    "django_session": "sessions; each sign-in is an event",
    "django_admin_log": "the framework's own; the ledger holds more",
    "auth_permission": "the framework's own list; rights come from grants",
    "account_emailaddress": "unused: people sign in by name",
    "account_emailconfirmation": "unused: people sign in by name",
    "axes_accessattempt": "counters of the lock-out; each failed sign-in is an event",
    "axes_accessattemptexpiration": "counters of the lock-out",
    "axes_accessfailurelog": "counters of the lock-out",
    "axes_accesslog": "counters of the lock-out",
    "django_rq_queue": "wake-ups only",
    "django_rq_job": "wake-ups only",
    "releases_idempotencykey": "answers that the API gives again; the act itself is an event",
}


def is_history(table: str) -> bool:
    """Tell whether a table is simple-history's: copies for reading, compared with the ledger every night."""
    return "_historical" in table

"""The one list of audited tables: every insert, update and delete in them leaves an event; a column may be left out.

Beside it are the tables that are not audited, and why. `manage.py audit_verify` names tables that are in neither list.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditedTable:
    """One table. `unaudited`: columns whose change alone makes no event. `secret`: columns kept as keyed digest.

    `personal`: columns kept as commitment with a key of their row, which erasure destroys; with `personal_of`, in the
    rows alone in which that column has a value.
    """

    model: str
    unaudited: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    personal_of: str = ""


AUDITED_TABLES: tuple[AuditedTable, ...] = (
    AuditedTable(
        "environments.Account",
        frozenset({"last_login"}),
        frozenset({"password", "invitation"}),
        frozenset(
            {
                "affiliation",
                "email",
                "first_name",
                "former_identities",
                "git_addresses",
                "job_title",
                "last_name",
                "telephone",
            }
        ),
    ),
    AuditedTable("environments.Account.groups"),
    AuditedTable("environments.Account.user_permissions"),
    AuditedTable("environments.Token", frozenset(), frozenset()),
    AuditedTable("environments.Token.environments"),
    AuditedTable("environments.ExternalIdentity"),
    AuditedTable("environments.ProviderKey"),
    AuditedTable("environments.Environment"),
    AuditedTable("environments.Application"),
    AuditedTable("environments.DeploymentTarget"),
    AuditedTable("environments.RequestedChange", personal=frozenset({"before", "after"}), personal_of="account_id"),
    AuditedTable("environments.ConfigurationVersion", frozenset(), frozenset({"encrypted"})),
    AuditedTable("environments.ConfigurationCheck"),
    AuditedTable("environments.Role"),
    AuditedTable("environments.AccessRule"),
    AuditedTable("environments.GroupRole"),
    AuditedTable("environments.ProvisionedGroup"),
    AuditedTable("environments.ProvisionedGroup.members"),
    AuditedTable("environments.AccessGrant"),
    AuditedTable("environments.ChangeWindow"),
    AuditedTable("environments.ChangeFreeze"),
    AuditedTable("environments.Holiday"),
    AuditedTable("environments.CalendarFeed"),
    AuditedTable("environments.SavedView"),
    AuditedTable("environments.Delegation"),
    AuditedTable("environments.AccessRequest"),
    AuditedTable("environments.AccessReview"),
    AuditedTable("environments.AccessReviewItem"),
    AuditedTable("releases.Procedure"),
    AuditedTable("releases.DeploymentProcess"),
    AuditedTable("releases.Definition"),
    AuditedTable("releases.Release"),
    AuditedTable("releases.Release.editors"),
    AuditedTable("releases.ChangeEntry"),
    AuditedTable("releases.MergeRequest"),
    AuditedTable("releases.Milestone"),
    AuditedTable("releases.ChecklistItem"),
    AuditedTable("releases.TeamMember", personal=frozenset({"telephone"})),
    AuditedTable("releases.FinalCheck"),
    AuditedTable("releases.Evidence"),
    AuditedTable("releases.Artefact"),
    AuditedTable("releases.Fact"),
    AuditedTable("releases.EmergencyStop"),
    AuditedTable("releases.Erasure"),
    AuditedTable("releases.ApprovalRequest"),
    AuditedTable("releases.ApprovalDecision"),
    AuditedTable("releases.CommitteeMeeting"),
    AuditedTable("releases.CommitteeMeeting.attendees"),
    AuditedTable("releases.MeetingDecision"),
    AuditedTable("releases.Waiver"),
    AuditedTable("releases.Document"),
    AuditedTable("releases.DocumentSignature"),
    AuditedTable("releases.Deployment", frozenset({"not_before"})),
    AuditedTable("releases.Step", frozenset({"lease_until"})),
    AuditedTable("releases.StepAttempt"),
    AuditedTable("releases.DecisionRequest"),
    AuditedTable("releases.DeployedVersion"),
    AuditedTable("releases.Drift"),
    AuditedTable("releases.MonitoringPeriod", frozenset({"next_at", "next_checks_at"})),
    AuditedTable("releases.Rollback"),
    AuditedTable("releases.FollowUp"),
    AuditedTable("releases.RecipientGroup"),
    AuditedTable("releases.GroupRecipient", personal=frozenset({"name", "address"})),
    AuditedTable(
        "releases.NotificationChannel",
        frozenset({"next_send_at", "failures", "last_failure"}),
        frozenset({"encrypted"}),
    ),
    AuditedTable("releases.NotificationRule"),
    AuditedTable("releases.NotificationTemplate"),
    AuditedTable("releases.Notification"),
    AuditedTable("releases.InboxItem", frozenset({"read_at"}), personal=frozenset({"recipient", "name"})),
    AuditedTable(
        "releases.NotificationDelivery",
        frozenset({"tries", "next_at", "due_at", "last_error"}),
        personal=frozenset({"address", "response"}),
    ),
    AuditedTable("releases.SuppressedAddress", personal=frozenset({"address", "reason"})),
    AuditedTable("mfa.Authenticator", frozenset({"last_used_at"}), frozenset({"data"})),
    AuditedTable("audit.LedgerResumption"),
    AuditedTable("audit.Verification"),
    AuditedTable("audit.CheckpointDelivery"),
    AuditedTable("audit.ClosedYear"),
    AuditedTable("auth.Group"),
    AuditedTable("auth.Group.permissions"),
)

# Tables without a row trigger, and why.
NOT_AUDITED: dict[str, str] = {
    "audit_event": "the ledger itself",
    "audit_pending": "the ledger itself",
    "audit_ledgerentry": "the ledger itself",
    "audit_ledgerhead": "the ledger itself",
    "audit_checkpoint": "the ledger itself",
    "audit_digest_key": "the key of masked columns; no role of the application reads it",
    "audit_personal_key": "the keys of personal columns; no role of the application reads or writes them",
    "audit_operation_role": (
        "which database role may cause which operation; written by migrate alone, compared by audit_verify"
    ),
    "audit_outbox": "messages made of events; their digests stand in events (audit.cover)",
    "audit_reconciliation": "how far a comparison is; its outcome is an event",
    "releases_releaseimport": "how far an import is; what is asked, confirmed and imported are events",
    "releases_pollfailure": "how often something failed; that it is suspended and who lets it be tried anew are events",
    "releases_heartbeat": "when the scheduler was at work last",
    "releases_stepoutput": "output in chunks; their digests stand in events (audit.cover)",
    "releases_measurement": "a measured series; its digests stand in events (audit.cover)",
    "releases_targetmeasurement": "the last measurement of a target; a difference is a drift, which is audited",
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

"""Roles, levels and their fixed meaning (E3, D1). Code and not rows, so that no look-alike can weaken one."""

from django.utils.translation import gettext_lazy as _

ROLE_CHOICES = [
    ("administrator", _("Administrator")),
    ("release_manager", _("Release manager")),
    ("project_manager", _("Project manager")),
    ("developer", _("Developer")),
    ("tester", _("Tester")),
    ("operator", _("Operator")),
    ("committee", _("Committee member")),
    ("auditor", _("Auditor")),
    ("ci", _("CI")),
]
LEVEL_CHOICES = [
    ("full", _("Full access")),
    ("limited", _("Limited access")),
    ("read_only", _("Read only")),
    ("audit_log_only", _("Audit log only")),
    ("operate", _("Operate")),
    ("ci_automatic", _("Automatic deployment")),
    ("ci_after_approval", _("Deployment after approval")),
    ("none", _("No access")),
]

# A grant of one of these needs a second person.
DECIDING = frozenset({"administrator", "committee", "release_manager", "project_manager", "operator", "ci"})

# What people may ask for, for some hours: an administrator is none for hours, and CI is no person.
ASKED_FOR = frozenset(role for role, _label in ROLE_CHOICES) - {"administrator", "ci"}

LEVELS: dict[str, frozenset[str]] = {
    "full": frozenset(
        {"view", "log", "request", "schedule", "start", "stop", "decide", "verify", "configure", "settle"}
    ),
    "limited": frozenset({"view", "log", "request"}),
    "read_only": frozenset({"view"}),
    "audit_log_only": frozenset(),
    "operate": frozenset(
        {"view", "log", "schedule", "request", "start", "stop", "decide", "verify", "roll_back", "settle", "adopt"}
    ),
    "ci_automatic": frozenset({"request", "start", "schedule"}),
    "ci_after_approval": frozenset({"start"}),
    "none": frozenset(),
}
ENVIRONMENT_VERBS = frozenset().union(*LEVELS.values())

READING = frozenset({"look", "audit"})

ROLE_VERBS: dict[str, frozenset[str]] = {
    "administrator": frozenset({"grant", "account", "look"}),
    "release_manager": frozenset(
        {
            "look",
            "plan",
            "prepare",
            "propose_window",
            "propose_waiver",
            "assess",
            "dismiss",
            "cancel",
            "settle_obligation",
            "document",
            "checklist",
            "configure_target",
            "roster",
            "propose_procedure",
            "final_check",
            "approve_document",
            "authorise_rollback",
            "minutes",
            "tell",
            "release_message",
        }
    ),
    "project_manager": frozenset(
        {
            "look",
            "plan",
            "waive",
            "approve_document",
            "propose_window",
            "minutes",
            "settle_obligation",
            "release_message",
        }
    ),
    "developer": frozenset({"look", "change", "document", "evidence", "checklist"}),
    "tester": frozenset({"look", "evidence", "checklist", "check_document"}),
    "operator": frozenset({"look", "checklist", "final_check", "configure_target", "raise", "authorise_rollback"}),
    "committee": frozenset({"look", "approve", "send_back", "reject", "consent", "minutes", "settle_obligation"}),
    "auditor": frozenset({"look", "audit"}),
    "ci": frozenset({"evidence"}),
}

# Every right as people read it, in the order in which a release needs them.
RIGHT_WORDS = {
    "view": _("View"),
    "look": _("View"),
    "log": _("Log"),
    "audit": _("Audit"),
    "plan": _("Plan a release"),
    "prepare": _("Prepare a release"),
    "change": _("Changes"),
    "evidence": _("Upload evidence"),
    "checklist": _("Checklist"),
    "document": _("Documents"),
    "check_document": _("Check document content"),
    "approve_document": _("Approve document"),
    "roster": _("Assign team role"),
    "configure": _("Configurations"),
    "configure_target": _("Deployment targets"),
    "propose_window": _("Request extra window"),
    "propose_waiver": _("Request waiver"),
    "waive": _("Confirm waiver"),
    "propose_procedure": _("Create procedure version"),
    "consent": _("Approval"),
    "approve": _("Approve"),
    "send_back": _("Send back"),
    "reject": _("Reject"),
    "final_check": _("Sign final check"),
    "request": _("Request deployment"),
    "schedule": _("Schedule deployment"),
    "start": _("Start deployment"),
    "stop": _("Stop deployment"),
    "cancel": _("Cancel deployment"),
    "decide": _("Decide how to continue"),
    "verify": _("Verify deployment"),
    "raise": _("Raise rollback"),
    "assess": _("Assess rollback"),
    "authorise_rollback": _("Authorise rollback"),
    "roll_back": _("Rollback"),
    "dismiss": _("Dismiss rollback"),
    "settle": _("Resolve deployment"),
    "settle_obligation": _("Complete follow-up action"),
    "adopt": _("Register deployed version"),
    "minutes": _("Record meeting"),
    "tell": _("Configure notifications"),
    "release_message": _("Approve for external recipients"),
    "grant": _("Grants"),
    "account": _("Accounts"),
}

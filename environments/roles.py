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
    ("provisioning", _("Provisioning")),
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

# Roles that there are under every procedure.
ALWAYS = frozenset({"administrator", "auditor", "provisioning"})

# Roles of service accounts; people hold all others.
OF_SERVICES = frozenset({"ci", "provisioning"})

# A grant of one of these needs a second person.
DECIDING = frozenset({"administrator", "committee", "release_manager", "project_manager", "operator"}) | OF_SERVICES

# Roles that people may request for some hours: not the administrator, and none of services.
ASKED_FOR = frozenset(role for role, _label in ROLE_CHOICES) - {"administrator"} - OF_SERVICES

LEVELS: dict[str, frozenset[str]] = {
    "full": frozenset(
        {
            "view",
            "read_logs",
            "request",
            "schedule",
            "start",
            "stop",
            "decide",
            "verify",
            "edit_configuration",
            "resolve",
        }
    ),
    "limited": frozenset({"view", "read_logs", "request"}),
    "read_only": frozenset({"view"}),
    "audit_log_only": frozenset(),
    "operate": frozenset(
        {
            "view",
            "read_logs",
            "schedule",
            "request",
            "start",
            "stop",
            "decide",
            "verify",
            "roll_back",
            "resolve",
            "register_version",
        }
    ),
    "ci_automatic": frozenset({"request", "start", "schedule"}),
    "ci_after_approval": frozenset({"start"}),
    "none": frozenset(),
}
ENVIRONMENT_PERMISSIONS = frozenset().union(*LEVELS.values())

READING = frozenset({"read", "audit"})

ROLE_PERMISSIONS: dict[str, frozenset[str]] = {
    "administrator": frozenset({"manage_access", "manage_accounts", "restore_procedure", "read"}),
    "release_manager": frozenset(
        {
            "read",
            "plan",
            "prepare",
            "request_window",
            "request_waiver",
            "assess_rollback",
            "dismiss_rollback",
            "cancel",
            "complete_follow_up",
            "edit_document",
            "sign_checklist",
            "edit_target",
            "assign_team",
            "create_procedure",
            "create_process",
            "sign_final_check",
            "approve_document",
            "authorise_rollback",
            "record_meeting",
            "configure_notifications",
            "approve_external",
        }
    ),
    "project_manager": frozenset(
        {
            "read",
            "plan",
            "confirm_waiver",
            "approve_document",
            "request_window",
            "record_meeting",
            "complete_follow_up",
            "approve_external",
        }
    ),
    "developer": frozenset(
        {"read", "edit_changes", "edit_document", "upload_evidence", "sign_checklist", "create_process"}
    ),
    "tester": frozenset({"read", "upload_evidence", "sign_checklist", "check_document"}),
    "operator": frozenset(
        {
            "read",
            "sign_checklist",
            "sign_final_check",
            "edit_target",
            "create_process",
            "raise_rollback",
            "authorise_rollback",
        }
    ),
    "committee": frozenset(
        {"read", "approve", "send_back", "reject", "approve_change", "record_meeting", "complete_follow_up"}
    ),
    "auditor": frozenset({"read", "audit", "restore_procedure"}),
    "ci": frozenset({"upload_evidence"}),
    "provisioning": frozenset({"provision"}),
}

# Every right as people read it, in the order in which a release needs them.
PERMISSION_LABELS = {
    "view": _("View"),
    "read": _("View"),
    "read_logs": _("Log"),
    "audit": _("Audit"),
    "plan": _("Plan a release"),
    "prepare": _("Prepare a release"),
    "edit_changes": _("Changes"),
    "upload_evidence": _("Upload evidence"),
    "sign_checklist": _("Checklist"),
    "edit_document": _("Documents"),
    "check_document": _("Check document content"),
    "approve_document": _("Approve document"),
    "sign_document": _("Sign document"),
    "assign_team": _("Assign team role"),
    "edit_configuration": _("Configurations"),
    "edit_target": _("Deployment targets"),
    "request_window": _("Request extra window"),
    "request_waiver": _("Request waiver"),
    "confirm_waiver": _("Confirm waiver"),
    "create_procedure": _("Create procedure version"),
    "create_process": _("Create deployment process version"),
    "restore_procedure": _("Return to an earlier release procedure"),
    "approve_change": _("Approval"),
    "approve": _("Approve"),
    "send_back": _("Send back"),
    "reject": _("Reject"),
    "sign_final_check": _("Sign final check"),
    "request": _("Request deployment"),
    "schedule": _("Schedule deployment"),
    "start": _("Start deployment"),
    "stop": _("Stop deployment"),
    "cancel": _("Cancel deployment"),
    "decide": _("Decide how to continue"),
    "verify": _("Verify deployment"),
    "raise_rollback": _("Raise rollback"),
    "assess_rollback": _("Assess rollback"),
    "authorise_rollback": _("Authorise rollback"),
    "roll_back": _("Rollback"),
    "dismiss_rollback": _("Dismiss rollback"),
    "resolve": _("Resolve deployment"),
    "complete_follow_up": _("Complete follow-up action"),
    "register_version": _("Register deployed version"),
    "record_meeting": _("Record meeting"),
    "configure_notifications": _("Configure notifications"),
    "approve_external": _("Approve for external recipients"),
    "manage_access": _("Grants"),
    "manage_accounts": _("Accounts"),
    "provision": _("Provision accounts"),
}


def in_environment(permission: str) -> bool:
    """Tell whether a permission is one in an environment. Raises LookupError for an unknown key, which would only ever
    deny.
    """
    if permission not in PERMISSION_LABELS:
        raise LookupError(f"{permission!r} is the key of no permission")
    return permission in ENVIRONMENT_PERMISSIONS


def roles_with(permission: str) -> list[str]:
    """Return the roles that have a permission by themselves. Raises LookupError for an unknown key."""
    in_environment(permission)
    return [role for role, permissions in ROLE_PERMISSIONS.items() if permission in permissions]

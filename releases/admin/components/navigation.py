"""The sidebar, by what the reader may see. UNFOLD's SIDEBAR setting names it."""

from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext_lazy as _

from environments.admin.rights import rights_of
from environments.single_sign_on import configured
from releases.models.notification import unread

# Each of them does some of the operations of a definition; all of them see the whole.
DEFINITION_READERS = (
    *("plan", "edit_target", "manage_access", "create_process", "create_procedure", "configure_notifications"),
    "audit",
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the sidebar. open: whether a group shows its entries to a reader who has not chosen."""
    rights = rights_of(request)
    cares = rights.may("manage_accounts") or rights.may("audit")
    defines = any(rights.may(permission) for permission in DEFINITION_READERS)
    by_groups = configured.offered() or bool(configured.groups_named())
    if not rights.may("read"):
        return [{"items": [_item(_("My tasks"), "home", "admin:index")]}]
    return [
        {
            "items": [
                _item(_("My tasks"), "home", "admin:index"),
                _item(_("Inbox"), "inbox", "inbox") | {"badge": _unread(request)},
                _item(_("Calendar"), "calendar_month", "calendar"),
                _item(_("Statistics"), "monitoring", "statistics"),
            ]
        },
        {
            "key": "releases",
            "title": _("Releases"),
            "open": True,
            "items": [
                _list(_("Releases"), "rocket_launch", "releases_release"),
                _list(_("Deployments"), "deployed_code_update", "releases_deployment"),
                _list(_("Rollbacks"), "undo", "releases_rollback"),
                _list(_("Evidence"), "fact_check", "releases_evidence"),
                _list(_("Artefacts"), "package_2", "releases_artefact"),
                _list(_("Follow-up actions"), "assignment_late", "releases_followup"),
                _list(_("Waivers"), "rule", "releases_waiver"),
                _list(_("Emergency stop"), "front_hand", "releases_emergencystop"),
                _list(_("Committee meetings"), "groups", "releases_committeemeeting"),
                _list(_("Release procedure"), "menu_book", "releases_procedure"),
                _item(_("First steps"), "flag_circle", "first-steps"),
            ],
        },
        {
            "key": "audit",
            "title": _("Audit"),
            "open": rights.may("audit"),
            "items": [
                *(_of_all_applications() if rights.applications is None else []),
                *(_auditing() if rights.may("audit") else []),
                _list(_("Ledger verifications"), "verified_user", "audit_verification"),
                _list(_("Checkpoints"), "flag", "audit_checkpoint"),
                _list(_("Addresses for checkpoints"), "forward_to_inbox", "audit_checkpointdelivery"),
                _list(_("Ledger resumptions"), "restore", "audit_ledgerresumption"),
            ],
        },
        {
            "key": "notifications",
            "title": _("Notifications"),
            "open": False,
            "items": [
                _list(_("Notifications"), "campaign", "releases_notification"),
                _list(_("Deliveries"), "outgoing_mail", "releases_notificationdelivery"),
                _list(_("Recipient groups"), "diversity_3", "releases_recipientgroup"),
                _list(_("Notification rules"), "rule_folder", "releases_notificationrule"),
                _list(_("Notification templates"), "edit_note", "releases_notificationtemplate"),
                _item(_("Preview"), "preview", "notification-preview"),
                _list(_("Channels"), "cell_tower", "releases_notificationchannel"),
                _list(_("Suppressed addresses"), "unsubscribe", "releases_suppressedaddress"),
                _list(_("Outbox"), "outbox", "audit_outbox"),
            ],
        },
        {
            "key": "environments",
            "title": _("Environments"),
            "open": rights.may("edit_target"),
            "items": [
                _list(_("Environments"), "dns", "environments_environment"),
                _list(_("Applications"), "apps", "environments_application"),
                _list(_("Deployment processes"), "conversion_path", "releases_deploymentprocess"),
                _list(_("Deployment targets"), "lan", "environments_deploymenttarget"),
                _list(_("Configurations"), "tune", "environments_configurationversion"),
                _list(_("Deployed versions"), "verified", "releases_deployedversion"),
                _list(_("Change windows"), "event_available", "environments_changewindow"),
                _list(_("Change freezes"), "ac_unit", "environments_changefreeze"),
                _list(_("Holidays"), "beach_access", "environments_holiday"),
                _list(_("Calendar addresses"), "rss_feed", "environments_calendarfeed"),
            ],
        },
        {
            "key": "people",
            "title": _("People and operation"),
            "open": rights.may("manage_accounts") or rights.may("manage_access"),
            "items": [
                _list(_("Accounts"), "group", "environments_account"),
                _list(_("Grants"), "badge", "environments_accessgrant"),
                *([_list(_("Roles of groups"), "groups", "environments_grouprole")] if by_groups else []),
                *([_list(_("Provisioned groups"), "groups", "environments_provisionedgroup")] if by_groups else []),
                _list(_("Tokens"), "key", "environments_token"),
                _list(_("Access requests"), "lock_open", "environments_accessrequest"),
                _list(_("Requested changes"), "approval", "environments_requestedchange"),
                _list(_("Delegations"), "supervisor_account", "environments_delegation"),
                _item(_("Access matrix"), "grid_on", "access"),
                *([_item(_("Definition"), "data_object", "definition")] if defines else []),
                _item(_("Queues"), "stacks", "queues"),
                *([_item(_("State of the installation"), "health_and_safety", "doctor")] if cares else []),
                _item(_("Glossary"), "dictionary", "glossary"),
                _item(_("Programming interface"), "api", "api:openapi-view"),
            ],
        },
    ]


def _of_all_applications() -> list[dict[str, Any]]:
    return [
        _item(_("Timeline"), "history", "timeline"),
        _item(_("As of"), "manage_history", "as-of"),
        _item(_("Access report"), "how_to_reg", "access-report"),
    ]


def _auditing() -> list[dict[str, Any]]:
    """Return the entries beside the timeline for accounts with the right to audit."""
    return [
        _item(_("Saved tests"), "rule_settings", "audit-tests"),
        _item(_("Sampling"), "casino", "sampling"),
        _item(_("Export of the ledger"), "download", "ledger-export"),
        _item(_("Closed years"), "inventory_2", "closed-years"),
        _item(_("Retention"), "auto_delete", "retention"),
    ]


def _unread(request: HttpRequest) -> str:
    """Return how many unread notifications are in the reader's inbox; empty for none, which shows no mark."""
    return str(unread(request.user) or "")


@cache
def _address(name: str, prefix: str) -> str:
    """Return an address from the cache: every page has fifty, which are the same below a prefix."""
    return reverse(name)


def _item(title: Any, icon: str, name: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": _address(name, get_script_prefix())}


def _list(title: Any, icon: str, model: str) -> dict[str, Any]:
    return _item(title, icon, f"admin:{model}_changelist")

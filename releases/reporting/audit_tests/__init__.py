"""Saved audit tests, one line each."""

from releases.reporting.audit_tests import (
    approvals,
    different_content,
    expired_waivers,
    outside_change_window,
    rights,
    rule_changed_then_used,
    segregation_of_duties,
    steps_without_change,
    unusual,
)
from releases.reporting.audit_tests.base import SavedTest

TESTS: tuple[SavedTest, ...] = (
    approvals.APPROVAL_AFTER_START,
    segregation_of_duties.TEST,
    approvals.APPROVER_WITHOUT_ROLE,
    different_content.TEST,
    outside_change_window.TEST,
    steps_without_change.TEST,
    unusual.EMERGENCIES,
    unusual.DRIFTS,
    approvals.SERVICE_ACCOUNT_DECISIONS,
    rule_changed_then_used.TEST,
    rights.DORMANT_APPROVERS,
    expired_waivers.TEST,
    rights.ROLE_HOLDERS,
    rights.SUPERUSERS,
    rights.APPROVE_AND_START,
    approvals.SAME_ADDRESS,
    unusual.BREAK_GLASS_CHANGES,
    unusual.UNEXPLAINED_HISTORY,
)

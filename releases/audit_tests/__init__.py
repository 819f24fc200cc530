"""The tests that auditors run, saved: one line each."""

from releases.audit_tests import (
    approvals,
    changed_then_used,
    different_content,
    outside_window,
    rights,
    two_duties,
    unusual,
    waivers_over,
    without_change,
)
from releases.audit_tests.base import SavedTest

TESTS: tuple[SavedTest, ...] = (
    approvals.APPROVED_LATE,
    two_duties.TEST,
    approvals.ROLE_MISSING,
    different_content.TEST,
    outside_window.TEST,
    without_change.TEST,
    unusual.EMERGENCIES,
    unusual.DRIFTS,
    approvals.SERVICE_DECIDED,
    changed_then_used.TEST,
    rights.DORMANT_APPROVERS,
    waivers_over.TEST,
    rights.HOLDERS,
    rights.SUPERUSERS,
    rights.APPROVE_AND_START,
    approvals.SAME_ADDRESS,
    unusual.BY_HAND,
    unusual.HISTORY_UNEXPLAINED,
)

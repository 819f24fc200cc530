"""The tests that auditors run, saved: one file and one line each."""

from __future__ import annotations

from releases.audit_tests import (
    approve_and_start,
    approved_late,
    changed_then_used,
    different_content,
    dormant_approvers,
    drifts,
    emergencies,
    history_unexplained,
    holders,
    outside_window,
    role_missing,
    same_address,
    service_decided,
    superusers,
    two_duties,
    waivers_over,
    without_change,
)
from releases.audit_tests.base import SavedTest

TESTS: tuple[SavedTest, ...] = (
    approved_late.TEST,
    two_duties.TEST,
    role_missing.TEST,
    different_content.TEST,
    outside_window.TEST,
    without_change.TEST,
    emergencies.TEST,
    drifts.TEST,
    service_decided.TEST,
    changed_then_used.TEST,
    dormant_approvers.TEST,
    waivers_over.TEST,
    holders.TEST,
    superusers.TEST,
    approve_and_start.TEST,
    same_address.TEST,
    history_unexplained.TEST,
)

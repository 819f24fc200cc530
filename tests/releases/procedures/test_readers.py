"""Each value of a procedure is read by code that uses it, or is text that a page shows; other values are refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from releases.models import TeamMember
from releases.procedures.consistency import FIXED
from releases.procedures.document import Procedure

ROOT = Path(__file__).parents[3]
# Every part has these; they are read by the page of the procedure, `Label.label` and every look-up of a row.
COMMON = {"origin", "default_fields", "ja", "en", "key"}
SHEET = "releases/admin/pages/procedure/document.py"
OWN = "releases/procedures/document.py"
FREEZES = "releases/operations/procedure/apply_freezes.py"
PUT_INTO_EFFECT = "releases/operations/procedure/put_into_effect.py"
STEPS = "releases/queries/step_plan.py"
MONITORING = "releases/queries/monitoring.py"
TRIGGERS = "releases/metric_sources/triggers.py"
LAY_OUT = "releases/operations/notification_rule/apply_procedure.py"
MILESTONES = "releases/queries/milestone_dates.py"
COMPLETION = "releases/operations/deployment/completion.py"
PREPARE = "releases/operations/release/prepare.py"
STANDARD = "releases/gates/standard_change.py"
REVIEW = "releases/operations/document/review.py"
EVIDENCE = "releases/gates/evidence.py"
SOURCE = "releases/gates/source.py"
# Part.field → the file that reads it. A sheet holds text only; the code decides.
READERS = {
    "Procedure.format": "releases/procedures/document.py",
    "Procedure.applications": "releases/operations/procedure/further.py",
    "Procedure.version": PUT_INTO_EFFECT,
    "Procedure.name": SHEET,
    "Procedure.history": SHEET,
    "Procedure.purpose": SHEET,
    "Procedure.readers": SHEET,
    "Procedure.roles": SHEET,
    "Procedure.levels": OWN,
    "Procedure.access": OWN,
    "Procedure.environments": PUT_INTO_EFFECT,
    "Procedure.schedule": PUT_INTO_EFFECT,
    "Procedure.milestones": MILESTONES,
    "Procedure.reminders": "releases/operations/milestone/remind.py",
    "Procedure.checklist": PREPARE,
    "Procedure.recipient_groups": LAY_OUT,
    "Procedure.channels": LAY_OUT,
    "Procedure.notification_rules": LAY_OUT,
    "Procedure.documents": PREPARE,
    "Procedure.document_states": REVIEW,
    "Document.template": REVIEW,
    "Document.signatures": OWN,
    "DocumentSignature.state": OWN,
    "DocumentSignature.role": OWN,
    "Procedure.branches": SHEET,
    "Procedure.workflows": SOURCE,
    "Procedure.accepted_branches": SOURCE,
    "Procedure.protected_branches": SOURCE,
    "Procedure.testing": EVIDENCE,
    "Procedure.versions": OWN,
    "Procedure.approval_rules": OWN,
    "Procedure.freezes": FREEZES,
    "Freeze.environments": FREEZES,
    "Freeze.rrule": FREEZES,
    "Freeze.start": FREEZES,
    "Freeze.length_minutes": FREEZES,
    "Freeze.full": FREEZES,
    "Procedure.languages": "releases/procedures/consistency.py",
    "Procedure.gates": OWN,
    "Procedure.thresholds": OWN,
    "Procedure.plans": STEPS,
    "Procedure.checks": STEPS,
    "Procedure.metrics": "releases/admin/pages/monitoring/page.py",
    "Procedure.monitoring": MONITORING,
    "Procedure.triggers": MONITORING,
    "Procedure.rollback": "releases/operations/rollback/decide.py",
    "Procedure.team_roles": SHEET,
    "Procedure.final_check": OWN,
    "Procedure.follow_ups": "releases/operations/follow_up/create.py",
    "Procedure.retention": "releases/operations/dump/delete.py",
    "HistoryEntry.date": SHEET,
    "HistoryEntry.version": SHEET,
    "Role.account": "releases/procedures/approvers.py",
    "Role.based_on": "releases/procedures/approvers.py",
    "Access.role": OWN,
    "Access.environment": OWN,
    "Access.level": OWN,
    "Environment.name_ja": PUT_INTO_EFFECT,
    "Environment.name_en": PUT_INTO_EFFECT,
    "Environment.tier": PUT_INTO_EFFECT,
    "Environment.order": PUT_INTO_EFFECT,
    "Environment.protected": PUT_INTO_EFFECT,
    "Environment.zone": PUT_INTO_EFFECT,
    "Environment.after_hours": "releases/operations/release/dates.py",
    "Environment.configuration": SHEET,
    "EnvironmentConfiguration.database": SHEET,
    "EnvironmentConfiguration.cache": SHEET,
    "EnvironmentConfiguration.storage": SHEET,
    "Schedule.regular": PUT_INTO_EFFECT,
    "Schedule.emergency": OWN,
    "Regular.releases_per_window": "releases/operations/approval/submit.py",
    "Regular.name": PUT_INTO_EFFECT,
    "Regular.frequency": SHEET,
    "Regular.day": SHEET,
    "Regular.time": SHEET,
    "Regular.rrule": PUT_INTO_EFFECT,
    "Regular.zone": PUT_INTO_EFFECT,
    "Regular.start": PUT_INTO_EFFECT,
    "Regular.length_minutes": PUT_INTO_EFFECT,
    "Regular.day_offset": PUT_INTO_EFFECT,
    "Regular.on_holiday": PUT_INTO_EFFECT,
    "Regular.country": PUT_INTO_EFFECT,
    "Regular.milestones_due": MILESTONES,
    "Milestone.days_before": MILESTONES,
    "Milestone.unit": MILESTONES,
    "When.risk": "releases/procedures/part.py",
    "When.kind": "releases/procedures/part.py",
    "Milestone.when": "releases/operations/release/dates.py",
    "Milestone.guards": "releases/operations/release/dates.py",
    "Reminders.hours_before": "releases/operations/milestone/remind.py",
    "EmergencyMilestone.hours_before": OWN,
    "Standard.changes": OWN,
    "Standard.review": "releases/operations/follow_up/create.py",
    "Review.within": "releases/operations/follow_up/create.py",
    "Review.unit": "releases/operations/follow_up/create.py",
    "StandardChange.applications": STANDARD,
    "StandardChange.risk": STANDARD,
    "StandardChange.per_week": STANDARD,
    "StandardChange.until": STANDARD,
    "Schedule.standard": OWN,
    "Emergency.criteria": OWN,
    "Emergency.approval": SHEET,
    "Emergency.milestones": OWN,
    "Emergency.validity_hours": "releases/operations/approval/decide.py",
    "ChecklistItem.group": PREPARE,
    "RecipientGroup.side": LAY_OUT,
    "Channel.type": LAY_OUT,
    "NotificationRule.event": LAY_OUT,
    "NotificationRule.recipient_groups": LAY_OUT,
    "NotificationRule.channels": LAY_OUT,
    "NotificationRule.must_act": LAY_OUT,
    "NotificationRule.documents": "releases/queries/notification_plan.py",
    "NotificationRule.lead_hours": LAY_OUT,
    "Branch.pattern": SOURCE,
    "AcceptedBranches.environment": OWN,
    "AcceptedBranches.patterns": OWN,
    "AcceptedBranches.emergency_patterns": OWN,
    "ProtectedBranch.tier": SOURCE,
    "ProtectedBranch.requires": SOURCE,
    "Testing.environments": EVIDENCE,
    "Testing.types": EVIDENCE,
    "Testing.matrix": EVIDENCE,
    "TestEnvironment.environment": EVIDENCE,
    "Cell.type": EVIDENCE,
    "Cell.test_environment": EVIDENCE,
    "Cell.required": EVIDENCE,
    "Versions.committers_are_authors": "releases/gates/authorship.py",
    "Versions.meanings": OWN,
    "Versions.example": SHEET,
    "Versions.pre_release": SHEET,
    "Versions.tag_format": "releases/admin/operations/source.py",
    "Versions.tag_example": SHEET,
    "Versions.tag_requirements": SHEET,
    "Meaning.change_types": OWN,
    "ApprovalRule.subject": OWN,
    "ApprovalRule.environment": OWN,
    "ApprovalRule.when": OWN,
    "ApprovalRule.decisions": OWN,
    "ApprovalRule.tier": OWN,
    "ApprovalRule.stage": OWN,
    "ApprovalRule.role": OWN,
    "ApprovalRule.number": OWN,
    "Gate.type": "releases/gates/evaluation.py",
    "Gate.tiers": OWN,
    "Gate.environments": OWN,
    "Gate.when": OWN,
    "Gate.subject": "releases/gates/attestation.py",
    "Gate.roles": "releases/gates/attestation.py",
    "Gate.hours": "releases/gates/promotion.py",
    "Gate.evidence": EVIDENCE,
    "Gate.threshold": "releases/procedures/consistency.py",
    "Threshold.value": OWN,
    "Plans.deployment": STEPS,
    "Plans.after_deployment": STEPS,
    "Plans.before_rollback": STEPS,
    "Plans.rollback": STEPS,
    "Plans.after_rollback": STEPS,
    "Step.type": STEPS,
    "Step.when": STEPS,
    "Step.parameters": STEPS,
    "Step.estimate_seconds": STEPS,
    "Step.required": STEPS,
    "Step.deadline_seconds": STEPS,
    "Step.no_output_timeout_seconds": STEPS,
    "Step.on": STEPS,
    "Check.when": STEPS,
    "Check.maintenance": STEPS,
    "Check.type": STEPS,
    "Check.on": STEPS,
    "Check.parameters": STEPS,
    "Check.required": STEPS,
    "Metric.unit": "releases/admin/pages/monitoring/page.py",
    "Monitoring.duration": SHEET,
    "Monitoring.duration_seconds": MONITORING,
    "Monitoring.interval_seconds": MONITORING,
    "Monitoring.metrics": MONITORING,
    "Monitoring.baseline_minutes": MONITORING,
    "Monitoring.baseline_statistic": MONITORING,
    "Monitoring.check_interval_minutes": COMPLETION,
    "Monitoring.measurements_min": "releases/operations/monitoring/end.py",
    "Monitoring.error_limit": "releases/operations/monitoring/report_no_data.py",
    "Trigger.critical": MONITORING,
    "Trigger.group": SHEET,
    "Trigger.metric": MONITORING,
    "Trigger.comparison": TRIGGERS,
    "Trigger.limit": TRIGGERS,
    "Trigger.k": TRIGGERS,
    "Trigger.n": TRIGGERS,
    "Trigger.dry_run": "releases/worker/trigger_reaction.py",
    "Rollback.reasons": "releases/queries/rollback_causes.py",
    "Rollback.assessment": SHEET,
    "Rollback.communication": "releases/operations/rollback/communicate.py",
    "Rollback.documents": SHEET,
    "Rollback.monitoring_duration": SHEET,
    "Rollback.monitoring_seconds": COMPLETION,
    "Rollback.decision_request_minutes": "releases/operations/decision_request/escalate.py",
    "Rollback.decision_request_on_timeout": "releases/operations/release/plan.py",
    "FinalCheck.when": OWN,
    "FinalCheck.signers": "releases/operations/release/sign_final_check.py",
    "FinalCheck.items": "releases/operations/release/sign_final_check.py",
    "FollowUpRule.within": "releases/operations/follow_up/create.py",
    "FollowUpRule.unit": "releases/operations/follow_up/create.py",
    "Retention.backups_days": "releases/operations/dump/delete.py",
    "Retention.records_years": "releases/admin/pages/retention/page.py",
}
# Lists whose rows are text on the sheet, because code implements them: the procedure is refused with other rows.
WORDS_OF_CODE = {
    "Procedure.team_roles": "team_roles",
    "Rollback.assessment": "rollback.assessment",
    "Rollback.documents": "rollback.documents",
    "Versions.tag_requirements": "versions.tag_requirements",
}


def parts(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Return every part of a procedure."""
    if model in seen:
        return
    seen.add(model)
    yield model
    open_: list[object] = [field.annotation for field in model.model_fields.values()]
    while open_:
        found = open_.pop()
        open_ += get_args(found)
        if isinstance(found, type) and issubclass(found, BaseModel):
            yield from parts(found, seen)


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names that a file reads: attributes, and texts (keys of a dumped row, names for getattr)."""
    tree = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    return frozenset(
        node.attr if isinstance(node, ast.Attribute) else node.value
        for node in tree
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )


def fields() -> set[str]:
    """Return `Part.field` of every permitted field of a procedure."""
    return {
        f"{model.__name__}.{name}"
        for model in parts(Procedure, set())
        for name in model.model_fields
        if name not in COMMON
    }


def test_each_value_of_a_procedure_has_a_reader() -> None:
    assert fields() == READERS.keys()


@pytest.mark.parametrize("field", sorted(set(READERS) - {"Procedure.format"}))
def test_the_named_reader_reads_the_value(field: str) -> None:
    assert field.partition(".")[2] in names_in(READERS[field])


@pytest.mark.parametrize("field", sorted(WORDS_OF_CODE))
def test_values_decided_by_code_may_not_differ(field: str) -> None:
    assert READERS[field] == SHEET and FIXED[WORDS_OF_CODE[field]]


def test_the_roles_equal_those_of_a_team() -> None:
    assert FIXED["team_roles"] == set(TeamMember.TeamRole.values)

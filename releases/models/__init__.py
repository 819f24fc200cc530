"""What changes, when and how: the public face of the models."""

from releases.models.committee import Meeting, MeetingDecision
from releases.models.consent import Approval, ConsentRound
from releases.models.deployment import Deployment
from releases.models.document import Document
from releases.models.drift import Drift, TargetMeasurement
from releases.models.evidence import Evidence, Fact
from releases.models.idempotency import IdempotentCall
from releases.models.in_force import InForce
from releases.models.message import DeadAddress, Delivery, Message, Notice
from releases.models.obligation import Obligation
from releases.models.poll_failure import PollFailure
from releases.models.preparation import ChecklistItem, FinalCheck, Milestone, RosterEntry
from releases.models.procedure import Procedure
from releases.models.question import Question
from releases.models.release import Change, Release
from releases.models.release_import import ReleaseImport
from releases.models.rollback import Rollback
from releases.models.sign_of_life import SignOfLife
from releases.models.stakeholder import Member, MessageChannel, MessageRule, MessageText, Stakeholder
from releases.models.step import Step, StepAttempt, StepOutput
from releases.models.stop_switch import StopSwitch
from releases.models.waiver import Waiver
from releases.models.watch import Sample, Watch, WatchCheck

__all__ = [
    "Approval",
    "Change",
    "ChecklistItem",
    "ConsentRound",
    "DeadAddress",
    "Delivery",
    "Deployment",
    "Document",
    "Drift",
    "Evidence",
    "Fact",
    "FinalCheck",
    "IdempotentCall",
    "InForce",
    "Meeting",
    "MeetingDecision",
    "Member",
    "Message",
    "MessageChannel",
    "MessageRule",
    "MessageText",
    "Milestone",
    "Notice",
    "Obligation",
    "PollFailure",
    "Procedure",
    "Question",
    "Release",
    "ReleaseImport",
    "Rollback",
    "RosterEntry",
    "Sample",
    "SignOfLife",
    "Stakeholder",
    "Step",
    "StepAttempt",
    "StepOutput",
    "StopSwitch",
    "TargetMeasurement",
    "Waiver",
    "Watch",
    "WatchCheck",
]

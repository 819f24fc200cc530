"""Models of releases, deployments and their rules: the names that others import."""

from releases.models.approval_request import ApprovalDecision, ApprovalRequest
from releases.models.artefact import Artefact as Artefact
from releases.models.committee import CommitteeMeeting, MeetingDecision
from releases.models.decision_request import DecisionRequest
from releases.models.definition import Definition
from releases.models.deployed_version import DeployedVersion
from releases.models.deployment import Deployment
from releases.models.deployment_process import DeploymentProcess
from releases.models.document import Document, DocumentSignature
from releases.models.drift import Drift, TargetMeasurement
from releases.models.emergency_stop import EmergencyStop
from releases.models.erasure import Erasure
from releases.models.evidence import Evidence, Fact
from releases.models.follow_up import FollowUp
from releases.models.heartbeat import Heartbeat
from releases.models.idempotency import IdempotencyKey
from releases.models.merge_request import MergeRequest
from releases.models.monitoring import Measurement, MonitoringCheck, MonitoringPeriod
from releases.models.notification import InboxItem, Notification, NotificationDelivery, SuppressedAddress
from releases.models.poll_failure import PollFailure
from releases.models.preparation import ChecklistItem, FinalCheck, Milestone, TeamMember
from releases.models.procedure import Procedure
from releases.models.recipients import (
    GroupRecipient,
    NotificationChannel,
    NotificationRule,
    NotificationTemplate,
    RecipientGroup,
)
from releases.models.release import ChangeEntry, Release
from releases.models.release_import import ReleaseImport
from releases.models.rollback import Rollback
from releases.models.step import Step, StepAttempt, StepOutput
from releases.models.waiver import Waiver

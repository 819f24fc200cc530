"""One row of every type on which the admin offers a verb, in the first state of its machine."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from audit.actor import acting
from audit.models import CheckpointDelivery, ClosedYear, LedgerResumption
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    Account,
    CalendarFeed,
    ChangeFreeze,
    Delegation,
    GroupRole,
    Holiday,
    RequestedChange,
    SavedView,
    Token,
)
from environments.operations.access import grant
from environments.operations.account.create import create
from releases.gates.content import digest, document
from releases.models import (
    ApprovalRequest,
    Artefact,
    ChangeEntry,
    CommitteeMeeting,
    Definition,
    DeployedVersion,
    Deployment,
    DeploymentProcess,
    DocumentSignature,
    EmergencyStop,
    Erasure,
    Fact,
    FollowUp,
    GroupRecipient,
    InboxItem,
    MonitoringPeriod,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    NotificationTemplate,
    PollFailure,
    Procedure,
    RecipientGroup,
    Release,
    ReleaseImport,
    Rollback,
    Step,
    SuppressedAddress,
    Waiver,
)
from releases.operations.procedure.put_into_effect import load
from releases.queries.year_figures import HOLDS, OPEN
from tests.conftest import enrolled
from tests.releases.conftest import World
from tests.releases.gates.asking import COMMAND, alter, make
from tests.scenarios.stock import Stock


class Rows:
    """A draft release with all rows around it; `of` returns the rows of a model."""

    def __init__(self, stock: Stock) -> None:
        self.world: World = stock.world
        self.found: dict[type, list[Any]] = {}
        world, people, moment = self.world, self.world.people, datetime.now(UTC)
        self._scoped()
        first = stock.release
        taken = stock.take()
        draft = self._draft()
        production = world.environments["production"]
        procedure = Procedure.objects.get(state="in_effect")
        deployments = [self._deployment(draft, environment) for environment in world.environments.values()]
        deployment = deployments[-1]
        step = make(
            Step,
            deployment=deployment,
            ordinal=1,
            phase="deployment",
            step_type="command",
            label_ja="x",
            label_en="x",
            required=False,
            parameters={},
            estimate_seconds=1,
        )
        make(Fact, release=draft, kind="authors", value=["developer@datasets.example"], observed_at=moment)
        content = document(draft, production)
        approval_request = make(
            ApprovalRequest,
            subject="regular",
            release=draft,
            environment=production,
            document=content,
            digest=digest(content),
            rules=[{"stage": 1, "role": "committee", "number": 2}],
            requested_by=people["manager"],
        )
        monitoring = make(
            MonitoringPeriod,
            deployment=deployment,
            interval_seconds=60,
            duration_seconds=60,
            triggers=[],
            baseline={},
            started_at=moment,
            result="inconclusive",
        )
        follow_up = make(
            FollowUp,
            application=world.application,
            release=draft,
            key="waiver",
            label_ja="x",
            label_en="x",
            due_at=moment,
        )
        waiver = make(
            Waiver,
            release=draft,
            environment=production,
            gate="coverage",
            reason="x",
            until=moment + timedelta(hours=1),
            requested_by=people["manager"],
        )
        entry = make(ChangeEntry, release=draft, kind="fix", text="x", author=people["developer"])
        pointer = make(
            DeployedVersion,
            application=world.application,
            environment=production,
            since=moment,
            basis="proposed",
            requested_by=people["second_operator"],
            configuration=world.configurations["production"],
        )
        with acting(COMMAND):
            changed = type(procedure.document).model_validate(procedure.content | {"version": "1.9.9"})
            another = load(changed, reason="x", writers=[people["outsider"].pk])
        process = make(
            DeploymentProcess,
            application=world.application,
            number=1,
            content={"format": 1},
            digest="0" * 64,
            reason="x",
            author=people["developer"],
        )
        make(Definition, number=1, files={}, digest="0" * 64, reason="x", author=people["developer"])
        artefact = make(
            Artefact,
            application=world.application,
            commit="0" * 40,
            kind="file",
            reference="https://files.example.org/a",
            digest="0" * 64,
            registered_by=people["ci"],
        )
        waiting = make(
            AccessGrant,
            account=people["tester"],
            role_id="operator",
            starts_at=moment,
            reason="x",
            granted_by=people["second_administrator"],
        )
        review = make(
            AccessReview, due_at=moment + timedelta(days=1), reason="x", opened_by=people["second_administrator"]
        )
        item = make(AccessReviewItem, review=review, grant=AccessGrant.objects.get(account=people["developer"]))
        asked = make(
            AccessRequest, account=people["developer"], role_id="tester", environment=production, hours=2, reason="x"
        )
        delegate = make(
            Delegation,
            delegator=people["committee_b"],
            delegate=people["tester"],
            starts_at=moment,
            reason="x",
            until=moment + timedelta(hours=5),
            requested_by=people["committee_b"],
        )
        left, going = (
            make(Account, username=name, display_name=name, is_active=False, telephone="1")
            for name in ("left", "going")
        )
        _erasure(people, account=going)
        self._keep(
            draft,
            step,
            approval_request,
            monitoring,
            follow_up,
            waiver,
            pointer,
            entry,
            another,
            process,
            artefact,
            waiting,
            item,
            review,
            asked,
            delegate,
            deployment,
            make(
                RequestedChange,
                event="target:set_outbound_hosts",
                target=world.targets["production"],
                environment=production,
                before={"options": world.targets["production"].options},
                after={"options": {"http_hosts": ["x.example"]}},
                reason="x",
                requested_by=people["second_operator"],
            ),
            make(
                PollFailure,
                part="enqueue",
                object="releases.Deployment:1",
                deployment=deployment,
                tries=3,
                error="x",
                failed_at=moment,
                suspended_at=moment,
            ),
            make(
                ReleaseImport,
                application=world.application,
                patterns=["v{version}"],
                requested_by=people["manager"],
                stage="ready",
                found={"new": [], "known": [], "skipped": []},
                next_at=moment,
            ),
            make(Rollback, deployment=deployment, cause="major_failure", raised_at=moment),
            make(CommitteeMeeting, held_at=moment - timedelta(hours=1), minutes="x", recorded_by=people["manager"]),
            make(EmergencyStop, activated_by=people["operator"], activated_at=moment, reason="x", lifted_at=moment),
            make(
                LedgerResumption,
                digest="ab" * 32,
                size=9,
                note="x",
                finding="x",
                reason="x",
                requested_by="person:1:x",
                requested_person="employee:x",
                requested_at=moment,
            ),
            make(
                CheckpointDelivery,
                kind="post",
                address="http://127.0.0.1:1",
                given_by="x",
                reason="x",
                entered_by="person:1:x",
                entered_at=moment,
            ),
            make(
                ClosedYear,
                year=2025,
                since=moment,
                until=moment,
                first=1,
                last=2,
                checkpoint=2,
                contents={"holds": dict.fromkeys(HOLDS, 0), "open": dict.fromkeys(OPEN, 0), "chain": ""},
                digest="ab" * 32,
                reason="x",
                requested_by=f"person:{people['auditor'].pk}:x",
                requested_person=people["auditor"].person_key,
                requested_at=moment,
            ),
            left,
            going,
            make(GroupRole, group="x", role_id="tester", reason="x", requested_by=people["second_administrator"]),
            make(Token, account=people["ci"], digest="f" * 64, expires_at=moment + timedelta(days=1)),
            make(
                ChangeFreeze,
                name="x",
                environment=production,
                starts_at=moment + timedelta(days=3),
                reason="x",
                ends_at=moment + timedelta(days=4),
            ),
            make(Holiday, day=date(2027, 5, 10), name_ja="創立記念日"),
            make(CalendarFeed, application=world.application, digest="c" * 64, account=people["manager"]),
            make(SavedView, listed="releases_release", name="Drafts", query="", account=people["manager"]),
            world.application,
            production,
            people["developer"],
            world.targets["production"],
            world.configurations["production"],
            taken.checklist.first(),
            production.windows.exclude(starts_at=None).first(),
        )
        self._messages(people)
        self.found[Deployment] = deployments
        text = first.documents.first()
        for state in ("content_checked", "approved"):
            written = make(type(text), release=draft, kind=state, body="x")
            make(DocumentSignature, document=written, for_state=state)
            self._keep(written)

    def _messages(self, people: dict[str, Any]) -> None:
        """A notification that awaits approval for external recipients, and one row of everything about recipients."""
        moment, group = datetime.now(UTC), RecipientGroup.objects.get(key="users")
        texts = {code: {"subject": "x", "body": "x"} for code in ("ja", "en")}
        notification = make(
            Notification,
            event="release:announce",
            outbox=1,
            operation_id="00000000-0000-0000-0000-000000000001",
            object="x:1",
            texts=texts,
            path="/admin/",
            made_at=moment,
            external=True,
        )
        mail = NotificationChannel.objects.get(key="mail")
        message = make(
            InboxItem, notification=notification, recipient="x", account=people["operator"], name="x", language="ja"
        )
        removed = [
            make(GroupRecipient, group=group, name=name, address=f"{name}@users.example", removed_at=moment)
            for name in ("gone", "going")
        ]
        _erasure(people, recipient=removed[-1])
        self._keep(
            notification,
            message,
            mail,
            NotificationChannel.objects.get(key="slack"),
            group,
            make(NotificationChannel, key="off", channel_type="slack", label_ja="x", label_en="x", disabled_at=moment),
            make(
                NotificationDelivery,
                inbox_item=message,
                channel=mail,
                address="x@users.example",
                outcome="sent",
                ended_at=moment,
            ),
            make(GroupRecipient, group=group, name="x", address="x@users.example"),
            *removed,
            make(SuppressedAddress, address="y@users.example", reason="x", since=moment),
            NotificationRule.objects.filter(removed_at=None).first(),
            NotificationTemplate.objects.get(event="release:announce"),
            alter(NotificationTemplate.objects.get(event="release:cancel"), subject_ja="x"),
        )

    def _keep(self, *rows: Any) -> None:
        for row in rows:
            self.found.setdefault(type(row), []).append(row)

    def _scoped(self) -> None:
        """Two people who hold a role in staging alone."""
        staging = self.world.environments["staging"]
        with acting(COMMAND):
            for name, role in (("operator_staging", "operator"), ("committee_staging", "committee")):
                made = enrolled(create(username=name, display_name=name, kind="person"))
                grant.request_role(made.pk, role=role, environment_id=staging.pk, reason="a part")
                self.world.people[name] = made

    def _draft(self) -> Release:
        made: Release = make(
            Release,
            application=self.world.application,
            version="7.0.0",
            title="x",
            tag="v7.0.0",
            author=self.world.people["author_on_committee"],
            procedure=Procedure.objects.get(state="in_effect"),
            scheduled_start_at=datetime.now(UTC),
            scheduled_end_at=datetime.now(UTC) + timedelta(hours=4),
            step_plan=dict.fromkeys(("deployment", "verification", "rollback", "rollback_verification"), []),
        )
        return made

    def _deployment(self, release: Release, environment: Any) -> Deployment:
        asked = {"requested_by": self.world.people["manager"], "scheduled_by": self.world.people["second_operator"]}
        asked |= {"application": release.application, "environment": environment}
        made: Deployment = make(Deployment, release=release, **asked)
        return made

    def of(self, model: type) -> list[Any]:
        """Return the rows of a model, fetched again."""
        return [model._default_manager.get(pk=row.pk) for row in self.found[model]]


def _erasure(people: dict[str, Any], **person: Any) -> None:
    second = people["second_administrator"]
    make(Erasure, reason="x", requested_by=second, requested_person=second.person_key, **person)

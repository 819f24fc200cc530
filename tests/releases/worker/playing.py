"""Plays a release under any procedure, from plan to production and back, with people of its own roles."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command

from audit.actor import Actor, acting
from audit.clock import now
from environments import access
from environments.models import AccessGrant, Account, Environment
from environments.operations.access.grant import confirm, request_role
from environments.operations.account.create import create as create_account
from environments.operations.configuration.create import create as create_configuration
from releases.demo.repository import Built
from releases.gates import quorum
from releases.models import ApprovalRequest, Deployment, Document, Procedure, Release
from releases.operations.application.create import create_application
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.checklist.sign import sign as sign_item
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request, right_for
from releases.operations.deployment.schedule import schedule
from releases.operations.deployment.verify import verify
from releases.operations.document import review
from releases.operations.evidence.upload import upload
from releases.operations.monitoring.end import record_result
from releases.operations.release import plan, prepare
from releases.operations.release.pass_stage import asks_nothing, pass_stage
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.release.reschedule import set_scheduled_start
from releases.operations.release.select_commit import select_commit
from releases.operations.release.sign_final_check import open_roles, sign as sign_final_check
from releases.operations.rollback import decide as rollbacks, start as rollback_start
from releases.operations.target.set_settings import create_target
from releases.operations.team.assign import assign
from releases.operations.window.request import request_window
from releases.procedures.document import Procedure as Content
from releases.queries.step_plan import manual_checks
from releases.worker.executor import run_from
from tests.conftest import enrolled, enters, seconded
from tests.releases.gates.asking import alter, communicated, open_to_programs, shown

from .conftest import TRUE, WORKER, first

EACH = 4  # persons of each role
JUNIT = b'<testsuite tests="1" failures="0" errors="0"><testcase name="a"/></testsuite>'
REPORTS = {
    "coverage": b'<coverage line-rate="1" lines-covered="10" lines-valid="10"/>',
    "review": json.dumps({"reviewer": "Somebody Else", "decision": "approved"}).encode(),
    "performance": json.dumps({"tool": "k", "measured": "1", "baseline": "1"}).encode(),
    "sarif": json.dumps({"version": "2.1.0", "runs": [{"results": []}]}).encode(),
    "security_scan": json.dumps({"tool": "s", "critical": 0, "high": 0, "medium": 0, "low": 0}).encode(),
}


def loaded(folder: Path) -> Content:
    """Put the procedure of a folder into effect in an empty database, as `make up PROCEDURE=…` does."""
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
        call_command("procedure", "load", str(folder), put_into_effect=True, stdout=io.StringIO())
    return Procedure.objects.get(state="in_effect").document


@dataclass
class Player:
    """An organisation: its procedure, EACH persons of each of its roles, and one application."""

    content: Content
    built: Built
    folder: Path
    people: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the people, the application and its targets."""
        with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
            for role in [*(row.key for row in self.content.roles), "administrator"]:
                service = any(row.key == role and row.account == "service" for row in self.content.roles)
                for number in range(1 if service else EACH):
                    name = f"{role}_{number}"
                    account = create_account(
                        username=name,
                        display_name=name.replace("_", " ").title(),
                        kind="service" if service else "person",
                    )
                    if not service:
                        enrolled(account)
                    request_role(account.pk, role=role, reason="hired")
                    self.people[name] = account
            # The author of the sample's commits is one of the planners.
            author = self.who("plan")
            addresses = ["developer@datasets.example", "manager@datasets.example"]
            alter(author, git_addresses=addresses)
        for grant in AccessGrant.objects.filter(confirmed_at=None):
            with self.acting(self.people["administrator_1"]):
                confirm(grant.pk)
        self.author = author
        self.places = {place.slug: place for place in Environment.objects.order_by("order")}
        self._lay()

    def acting(self, account: Account) -> Any:
        """Act as somebody who has just proved the identity."""
        return enters({account.username: account})(account.username)

    def who(self, right: str, place: Environment | None = None, *, but: Any = ()) -> Account:
        """Return somebody with a right who is none of `but`; a person of the deciding roles only where no other has
        it.
        """
        for account in Account.objects.filter(is_active=True).order_by("pk"):
            if account not in but and access.may(account, right, place):
                return account
        raise AssertionError(f"nobody has the right {right!r} in {place}")

    def _lay(self) -> None:
        editor = self.who("edit_target", but=[self.author])
        with self.acting(self.who("plan")):
            self.application = create_application(
                slug="datasets",
                name="Datasets",
                repository=str(self.built.path),
                signers=self.built.allowed_signers.read_text(),
            )
        for slug, place in self.places.items():
            root = self.folder / slug
            root.mkdir(parents=True)
            with self.acting(editor):
                target = create_target(
                    application_id=self.application.pk, environment_id=place.pk, root=str(root), settings={}
                )
            if place.protected:
                target = self._seconded(target, editor)
            open_to_programs(target, root)
            with self.acting(editor):
                create_configuration(
                    application_id=self.application.pk,
                    environment_id=place.pk,
                    values={"A": "1"},
                    secrets={},
                    reason="x",
                )

    def _seconded(self, target: Any, editor: Account) -> Any:
        second = self.who("edit_target", but=[editor, self.author])
        return seconded(target, enters({second.username: second}), second.username)

    def decided(self, approval_request: ApprovalRequest) -> ApprovalRequest:
        """Let everybody approve who is asked, until the request is approved."""
        while approval_request.state == "in_review":
            candidates = quorum.candidates(approval_request)
            assert candidates, quorum.count(approval_request)
            with self.acting(candidates[0]):
                decide.approve(approval_request.pk, digest=approval_request.digest)
            approval_request = ApprovalRequest.objects.get(pk=approval_request.pk)
        assert approval_request.state == "approved"
        return approval_request

    def open_windows(self) -> None:
        """Open extra windows around now wherever the procedure asks for one."""
        for place in self.places.values():
            if all(gate.type != "change_window" for gate in self.content.gates_for(place)):
                continue
            with self.acting(self.who("request_window", place, but=[self.author])):
                asked = request_window(
                    place.pk,
                    application_id=self.application.pk,
                    name="now",
                    starts_at=now() - timedelta(minutes=1),
                    ends_at=now() + timedelta(hours=6),
                    reason="for this release",
                )
            if asked.rules and asked.rules[0]["role"] != "none":
                self.decided(asked)

    def planned(self, *, risk: str = "low", version: str = "1.3.0", **of: str) -> Release:
        """Plan a release for now with all its fields, and lock its scope; its steps start /bin/true."""
        with self.acting(self.author):
            release = plan.plan(application_id=self.application.pk, version=version, title="Tags", **of)
            plan.add_change(release.pk, kind="feature", text="Datasets can be tagged")
            plan.edit(release.pk, fields=dict.fromkeys(release.APPLICATION_FIELDS, "as written") | {"risk": risk})
            select_commit(release.pk, branch="release/" + version.rpartition(".")[0])
            for row in self.application.configurations.all():
                plan.set_configuration(release.pk, configuration_id=row.pk)
            set_scheduled_start(release.pk, start=now())
            prepare.lock_scope(release.pk)
        release = self.fresh(release)
        plan_of = {
            phase: [row | {"step_type": "command", "parameters": {"argv": TRUE}} for row in rows]
            for phase, rows in release.step_plan.items()
        }
        return alter(release, step_plan=plan_of)

    @staticmethod
    def fresh(row: Any) -> Any:
        """Fetch a row again."""
        return type(row)._default_manager.get(pk=row.pk)

    def tested(self, release: Release) -> Release:
        """Verify it in the environments before production, with all evidence, signatures, documents and a team."""
        self._evidence(release)
        self._statements(release)
        for place in self.places.values():
            if place not in release.destinations:
                self.deployed(release, place)
        for item in release.checklist.all():
            with self.acting(self.who("sign_checklist", but=[self.author])):
                sign_item(item.pk, digest=shown(item), evidence="read")
        for row in release.documents.all():
            with self.acting(self.who("edit_document")):
                review.write(row.pk, body="changes")
            self._signed(self.fresh(row))
        self.team(release)
        with self.acting(self.author):
            refresh_from_git(release.pk)
        if asks_nothing(self.fresh(release)):
            self._pass(release)
        else:
            with self.acting(self.author):
                prepare.complete_testing(release.pk)
        return self.fresh(release)

    def _signed(self, document: Document) -> None:
        """Give the signatures that the procedure asks for, each by a person of its role."""
        while (signature := document.open_signature) is not None:
            verb = review.check_content if signature.for_state == "content_checked" else review.approve
            people = Account.objects.filter(kind=Account.Kind.PERSON).order_by("pk")
            able = (
                account
                for account in people
                if any(access.may(account, right) for right in review.rights_for(document))
                and not review.why_not_permitted(account, document)
            )
            signer = next(able, None)
            assert signer is not None, f"no one may sign {document} as {signature} ({signature.role})"
            with self.acting(signer):
                verb(document.pk, digest=shown(document))
            document = self.fresh(document)
        if document.state == "approved":
            with self.acting(self.who("approve_document")):
                review.prepare_publication(document.pk, digest=shown(document))

    def _pass(self, release: Release) -> None:
        with acting(Actor(account_id=None, name="scheduler", kind="scheduler", channel="scheduler")):
            pass_stage(release.pk)

    def team(self, release: Release) -> None:
        """Name the people of the team, each with another duty."""
        operators = [a for a in Account.objects.all() if access.may(a, "verify", release.destinations[0])]
        decider = self.who("authorise_rollback", release.destinations[0], but=[self.author])
        with self.acting(self.who("assign_team")):
            for team_role, who in zip(("implementer", "verifier", "release_lead"), operators * 3, strict=False):
                assign(release.pk, team_role=team_role, account_id=who.pk, telephone="+49-30-0000000")
            assign(release.pk, team_role="rollback_decision_maker", account_id=decider.pk, telephone="+49-30-0000000")

    def _evidence(self, release: Release) -> None:
        where = {row.key: row.environment for row in self.content.testing.environments}
        rows = [("junit", cell.type, where[cell.test_environment], JUNIT) for cell in self.content.testing.matrix]
        place = next(iter(self.places))
        rows += [(kind, "", place, content) for kind, content in REPORTS.items()]
        for kind, test_type, slug, content in rows:
            with self.acting(self.who("upload_evidence", but=[self.author])):
                upload(
                    self.application.pk,
                    environment_id=self.places[slug].pk,
                    kind=kind,
                    commit=self.built.commits[f"v{release.version}"],
                    files=[("", content)],
                    test_type=test_type,
                )

    def _statements(self, release: Release) -> None:
        """Upload each statement that a gate asks for, by somebody with one of the roles that it names."""
        for subject, roles in {gate.subject: gate.roles for gate in self.content.gates if gate.subject}.items():
            role = next((r.key for r in self.content.roles if r.key in roles and r.account == "person"), "")
            who = access.holders(role)[0] if role else self.who("upload_evidence", but=[self.author])
            said = {"subject": subject, "result": "passed", "valid_until": (now() + timedelta(days=90)).isoformat()}
            with self.acting(who):
                upload(
                    self.application.pk,
                    environment_id=self.places[next(iter(self.places))].pk,
                    kind="statement",
                    commit=self.built.commits[f"v{release.version}"],
                    files=[("", json.dumps(said).encode())],
                )

    def submitted(self, release: Release) -> ApprovalRequest:
        """Submit it."""
        with self.acting(self.author):
            return submit(release.pk)

    def final_checked(self, release: Release) -> Release:
        """Let all roles sign the final check; where none does, it passes by itself."""
        if asks_nothing(self.fresh(release)):
            self._pass(release)
        spoken: list[Account] = []
        while self.fresh(release).state == "approved":
            roles = open_roles(self.fresh(release))
            signer = next(
                a
                for role in sorted(roles)
                for a in access.holders(role, release.destinations[0])
                if a not in spoken and access.may(a, "sign_final_check", release.destinations[0])
            )
            spoken.append(signer)
            with self.acting(signer):
                sign_final_check(release.pk)
        return self.fresh(release)

    def deployed(self, release: Release, place: Environment) -> Deployment:
        """Deploy it to one environment, and verify it there where that is asked."""
        but = [self.author, *Account.objects.filter(pk__in=self._spoken(release))]
        with self.acting(self.who(right_for(place), place, but=but)):
            deployment = request(release.pk, environment_id=place.pk)
        with self.acting(starter := self.who("schedule", place, but=but)):
            schedule(deployment.pk)
        with acting(WORKER):
            enqueue(deployment.pk)
            run_from(first(self.fresh(deployment)).pk)
        deployment = self.fresh(deployment)
        if deployment.state == "verifying":
            asked = tuple(check.key for check in manual_checks(self.content, "deployment") if check.required)
            with self.acting(self.who("verify", place, but=[starter])):
                verify(deployment.pk, confirmed=asked)
        elif deployment.state == "monitoring" and not place.protected:
            from releases.operations.deployment.decide import succeed

            with acting(WORKER):
                succeed(deployment.pk)
        return self.fresh(deployment)

    def _spoken(self, release: Release) -> list[int]:
        return [d.account_id for r in release.approval_requests.all() for d in r.decisions.all()]

    def monitored(self, deployment: Deployment) -> None:
        """Let a person record the monitoring of a deployment as passed."""
        period = deployment.monitoring_periods.get(purpose="deployment")
        alter(period, result="inconclusive")
        with self.acting(self.who("verify", deployment.environment, but=deployment.starters)):
            record_result(period.pk, result="passed", reason="read by hand")

    def rolled_back(self, deployment: Deployment) -> Deployment:
        """Roll a deployment back by hand: raised, assessed, communicated, authorised, run."""
        place = deployment.environment
        cause = self.content.rollback.reasons[0].key
        with self.acting(self.who("roll_back", place)):
            alarm = rollbacks.raise_(deployment.pk, cause=cause, note="the lists are empty")
        with self.acting(self.who("assess_rollback")):
            rollbacks.assess(alarm.pk, impact="all users", method="the whole plan", timing="now")
        with acting(WORKER):
            rollbacks.pre_authorise(alarm.pk, rows={})
        communicated(alarm)
        named = deployment.release.team_members.get(team_role="rollback_decision_maker").account
        with self.acting(named):
            rollbacks.authorise(alarm.pk, digest=shown(alarm))
        with acting(WORKER):
            run_from(rollback_start.start_rollback(alarm.pk))
        return self.fresh(deployment)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say in a failure how far the play had come."""
        try:
            yield
        except Exception as fault:
            fault.add_note(f"at the stage {name!r}")
            raise

    def play(self, *, risk: str = "low", back: bool = True, **of: str) -> Release:
        """Play one release from plan to its end in all environments of production; back: and out of them again. of: its
        type, and what makes it one.
        """
        with self.stage("windows"):
            self.open_windows()
        with self.stage("plan"):
            release = self.planned(risk=risk, **of)
        with self.stage("tests"):
            release = self.tested(release)
        with self.stage("approval"):
            approval_request = self.submitted(release)
            if quorum.rules_of(approval_request):
                self.decided(approval_request)
        with self.stage("final check"):
            release = self.final_checked(release)
        with self.stage("production"):
            deployments = [self.deployed(self.fresh(release), place) for place in release.destinations]
        assert self.fresh(release).state == "monitoring", [d.state for d in deployments]
        with self.stage("rollback"):
            for deployment in reversed(deployments) if back else ():
                self.rolled_back(self.fresh(deployment))
        for deployment in deployments if not back else ():
            self.monitored(deployment)
        return self.fresh(release)

"""Sample rows for the pages: a release in every state that matters, deployments, a monitoring period and a rollback.

Operations make what needs no worker; the rest is walked along the edges of the state machines.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from audit.clock import now
from audit.operation import operation
from environments.models import Account, Application, Environment
from environments.operations.configuration.create import create as create_configuration
from environments.operations.window.create_freeze import freeze
from releases.models import (
    ApprovalRequest,
    DeployedVersion,
    Deployment,
    Document,
    Evidence,
    Fact,
    FollowUp,
    Procedure,
    Release,
)
from releases.operations.application.create import create_application
from releases.operations.approval import submit
from releases.operations.approval.decide import approve
from releases.operations.release import plan, prepare, reschedule
from releases.operations.target.set_settings import create_target
from releases.operations.team.assign import assign
from releases.operations.window.request import request_window
from tests.conftest import seconded
from tests.releases.admin.seed_deployments import ActingAs, make_deployment, monitored, rolled_back, walk

TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the empty tree of Git
COMMIT = "98b7679a904d201227d35a776bef53983088aa88"  # the commit that `repository` makes, always the same
FOLDER = tempfile.TemporaryDirectory(prefix="ringi-seed-")  # deleted when the process ends


@cache
def repository() -> Path:
    """Make a bare repository with one commit of the developer, COMMIT, on main."""
    folder = Path(FOLDER.name)
    who = {"NAME": "Developer", "EMAIL": "developer@datasets.example", "DATE": "2026-11-01T00:00:00Z"}
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}

    def git(*arguments: str) -> str:
        environment = {**os.environ, **names}
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--bare", "--initial-branch=main")
    git("hash-object", "-t", "tree", "-w", "/dev/null")
    git("update-ref", "refs/heads/main", git("commit-tree", TREE, "-m", "first"))
    return folder


def application(acting_as: ActingAs, slug: str = "datasets", name: str = "データセット基盤") -> Application:
    """Make an application with a target and a configuration in each environment."""
    with acting_as("manager"):
        made = create_application(slug=slug, name=name, repository=str(repository()))
    with acting_as("operator"):
        for environment in Environment.objects.all():
            target = create_target(
                application_id=made.pk,
                environment_id=environment.pk,
                root=f"/srv/{slug}/{environment.slug}",
                settings={},
            )
            seconded(target, acting_as)
            create_configuration(
                application_id=made.pk,
                environment_id=environment.pk,
                values={"DATABASE_POOL": "8"},
                secrets={"DATABASE_PASSWORD": "hidden-from-everyone"},
                reason="first",
            )
    return made


def draft(acting_as: ActingAs, of: Application, version: str, title: str = "メタデータ検索の追加") -> Release:
    """Plan a release that is complete except for its date."""
    with acting_as("manager"):
        made = plan.plan(application_id=of.pk, version=version, title=title)
        plan.add_change(made.pk, kind="feature", text="タグでデータセットを絞り込める", ticket="DS-101")
        plan.edit(
            made.pk,
            fields={
                "branch": "main",
                "commit": COMMIT,
                "tree": TREE,
                "reason": "利用部門の要望",
                "ticket": "DS-100",
                "impact": "検索画面",
                "security_impact": "なし",
                "risk": "medium",
                "test_plan": "結合試験まで",
                "rollback_plan": "1.2.0へ戻す",
            },
        )
        for configuration in of.configurations.all():
            plan.set_configuration(made.pk, configuration_id=configuration.pk)
    return made


def next_window_start() -> Any:
    """Return the start of the next regular window in production."""
    from releases.gates.window import opening

    production = Environment.objects.get(slug="production")
    any_application = Application.objects.first()
    assert any_application is not None
    return opening(any_application, production, now() + timedelta(days=20)).next_start


def in_review(acting_as: ActingAs, of: Application, version: str, start: Any = None) -> Release:
    """Bring a release to its approval request; the milestones of the tests are completed directly."""
    made = draft(acting_as, of, version)
    with acting_as("manager"):
        reschedule.set_scheduled_start(made.pk, start=start or next_window_start())
        prepare.lock_scope(made.pk)
        for role, who in (
            ("implementer", "operator"),
            ("verifier", "second_operator"),
            ("rollback_decision_maker", "manager"),
        ):
            assign(made.pk, team_role=role, account_id=Account.objects.get(username=who).pk, telephone="03-1234-5678")
        with operation("release:refresh_from_git", (Release, made.pk)) as op:
            moment = now()
            for kind, value in (("authors", ["developer@datasets.example"]), ("heads", ["main"])):
                Fact.objects.create(release=op.get(Release), kind=kind, value=value, observed_at=moment)
            Evidence.objects.create(
                application=of,
                environment=Environment.objects.get(slug="development"),
                kind="junit",
                test_type="unit",
                commit=COMMIT,
                tree=TREE,
                digest=version.ljust(64, "e"),
                values={"tests": 214},
                summary="214 passed",
                content=b"<testsuite/>",
                uploaded_by=Account.objects.get(username="developer"),
            )
        with operation("release:complete_testing", (Release, made.pk)) as op:
            op.get(Release).complete_testing()
            prepare.done_milestone(op.get(Release), "complete_testing", Account.objects.get(username="manager"))
        submit.submit(made.pk)
    return Release.objects.get(pk=made.pk)


def world(acting_as: ActingAs) -> dict[str, Any]:
    """Make all rows; return those that tests ask for by name."""
    of = application(acting_as)
    production = Environment.objects.get(slug="production")
    start = next_window_start()
    with acting_as("manager"):
        freeze(
            production.pk,
            name="年末年始",
            starts_at=now() + timedelta(days=30),
            ends_at=now() + timedelta(days=40),
            reason="繁忙期",
        )
        extra = request_window(
            production.pk,
            application_id=of.pk,
            name="臨時",
            starts_at=now() + timedelta(days=2),
            ends_at=now() + timedelta(days=2, hours=4),
            reason="取引先の依頼",
        )
    review = in_review(acting_as, of, "1.3.0", start)
    with acting_as("committee_a"):
        approval_request = ApprovalRequest.objects.get(release=review, state="in_review")
        approve(approval_request.pk, digest=approval_request.digest, comment="内容を確認した")
    other = application(acting_as, "portal", "ポータル")
    released = in_review(acting_as, other, "2.0.0", start)
    with (
        acting_as("operator"),
        operation("test:granted", (ApprovalRequest, released.approval_requests.get().pk), (Release, released.pk)) as op,
    ):
        op.get(ApprovalRequest).mark_approved()
        release = op.get(Release)
        release.mark_approved()
    with acting_as("operator"), operation("test:running", (Release, released.pk)) as op:
        walk(op.get(Release), "complete_final_check", "start")
        op.states[Release, released.pk] = "releasing"
    staging = make_deployment(acting_as, review, "staging", "schedule", "enqueue", "start", steps="running")
    back = make_deployment(
        acting_as, released, "production", "schedule", "enqueue", "start", "start_verification", "start_monitoring"
    )
    monitoring = monitored(acting_as, back)
    with acting_as("operator"), operation("test:force") as op:
        for environment in Environment.objects.all():
            DeployedVersion.objects.create(
                application=other, environment=environment, release=released, since=now(), basis="verified"
            )
        op.about(released)
    rollback = rolled_back(acting_as, back)
    waiting = make_deployment(
        acting_as, review, "development", "schedule", "enqueue", "start", "await_decision", steps="running"
    )
    plain = draft(acting_as, of, "1.4.0", "重複登録の修正")
    return {
        "application": of,
        "review": review,
        "released": released,
        "draft": plain,
        "round": approval_request,
        "extra": extra,
        "running": staging,
        "back": back,
        "waiting": waiting,
        "rollback": rollback,
        "metric_sources": monitoring,
        "step": staging.steps.get(ordinal=3),
        "document": Document.objects.filter(release=review).first(),
    }


def more(acting_as: ActingAs, world_: dict[str, Any], count: int) -> None:
    """Add `count` of the rows that lists and pages repeat."""
    production = Environment.objects.get(slug="production")
    of, draft_ = world_["application"], world_["draft"]
    developer = Account.objects.get(username="developer")
    with acting_as("manager"):
        for index in range(count):
            plan.plan(application_id=of.pk, version=f"3.0.{index}", title="another")
            plan.add_change(draft_.pk, kind="fix", text=f"fix {index}")
            request_window(
                production.pk,
                application_id=of.pk,
                name=f"extra {index}",
                starts_at=now() + timedelta(days=3 + index),
                ends_at=now() + timedelta(days=3 + index, hours=1),
                reason="more",
            )
        with operation("test:more") as op:
            op.about(draft_)
            for index in range(count):
                FollowUp.objects.create(
                    application=of,
                    release=world_["released"],
                    key="full_review",
                    label_ja=f"due {index}",
                    label_en=f"due {index}",
                    due_at=now() + timedelta(days=index + 1),
                )
                proof = Evidence.objects.create(
                    application=of,
                    environment=production,
                    kind="junit",
                    test_type="unit",
                    commit=COMMIT,
                    tree=TREE,
                    digest=str(index).ljust(64, "f"),
                    values={},
                    summary="ok",
                    content=b"",
                    uploaded_by=developer,
                )
                Evidence.objects.filter(environment=production, superseded_by=None).exclude(pk=proof.pk).update(
                    superseded_by=proof
                )
                made = Deployment.objects.create(
                    release=world_["review"],
                    application=of,
                    environment=Environment.objects.get(slug="staging"),
                    requested_by=developer,
                    procedure=Procedure.objects.get(state="in_effect"),
                )
                walk(made, "cancel")

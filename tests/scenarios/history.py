"""One history of approval: each operation is tried on the product and on the reference model; they must agree.

The rules of test_approval_request_machine.py choose the operations; `bring` moves to where the next can succeed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from audit.actor import acting
from audit.refusals import OperationRefused
from environments.models import AccessGrant, Account, Delegation
from environments.operations.access import grant as grants
from releases.models import ApprovalDecision, ApprovalRequest, Deployment, FollowUp, Release
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.schedule import schedule
from releases.operations.follow_up.complete import complete as complete_follow_up
from releases.operations.release import prepare
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.reschedule import set_scheduled_start
from releases.operations.release.sign_final_check import sign
from releases.operations.release.withdraw_request import withdraw_request
from releases.operations.step.claim import claim
from tests.releases.gates.asking import COMMAND, walk
from tests.scenarios.reference import BEFORE, WAITING, Reference
from tests.scenarios.stock import Stock

COMMITTEE = ("committee_a", "committee_b", "committee_c", "committee_d", "committee_e")
PEOPLE = (*COMMITTEE, "author_on_committee", "manager", "project_manager", "operator", "second_operator", "developer")
DONE: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()
FAULTS: list[str] = []


class History(RuleBasedStateMachine):
    """Releases of one application, one after the other, and the people around them."""

    stock: Stock
    people: dict[str, Account]

    @initialize()
    def begin(self) -> None:
        """Take a tested release; roles come from the grants."""
        if self.over():
            return
        roles: dict[str, set[str]] = {name: set() for name in PEOPLE}
        for row in AccessGrant.objects.filter(revoked_at=None, account__username__in=PEOPLE):
            roles[row.account.username].add(row.role_id)
        self.release = self.stock.take()
        self.window = 0
        self.restore = (
            {name: set(held) for name, held in roles.items()} if not hasattr(self, "restore") else self.restore
        )
        commits = {"developer"}
        self.model = Reference(
            roles=roles,
            author="author_on_committee",
            makers={*commits, "manager"},  # the manager made the configurations
            delegates={(d.delegate.username, d.delegator.username) for d in Delegation.objects.filter(revoked_at=None)},
            content={"ticket": self.release.ticket, "on_timeout": "roll_back", "window": 0, "waivers": set()},
        )

    def over(self) -> bool:
        """Tell whether no operation is left; the test decides."""
        return False

    # Operating and comparing

    def operate(self, verb: str, who: str, call: Callable[[], Any], allowed: bool, effect: Callable[[], Any]) -> bool:
        """Run an operation as a person (empty: as a process) and compare it with what the model allows."""
        try:
            with self.stock.world.acting_as(who) if who else acting(COMMAND):
                result = call()
            done = result is not None if verb in ("expire_stale", "claim") else True
        except OperationRefused as refused:
            assert refused.reasons and all(str(reason).strip() for reason in refused.reasons), "a refusal says why"
            done, result = False, refused
        if done != allowed:
            FAULTS.append(f"{verb} by {who or 'a process'}: done={done}, {result!r}; {self.model}")
        assert done == allowed, FAULTS[-1]
        (DONE if done else REFUSED)[verb] += 1
        if done:
            effect()
        return done

    @invariant()
    def both_stand_at_the_same_place(self) -> None:
        """Compare release, approval request, decisions and deployment with the model."""
        if not hasattr(self, "release"):
            return
        model = self.model
        assert Release.objects.values_list("state", flat=True).get(pk=self.release.pk) == model.state, model
        row = self.real_request()
        found = (
            (
                row.state,
                ApprovalDecision.objects.filter(approval_request=row, decision__in=ApprovalDecision.COUNTING).count(),
            )
            if row
            else None
        )
        assert found == ((model.request.state, model.request.given) if model.request else None), model
        deployment = self.real_deployment()
        assert (deployment.state if deployment else "") == model.deployment, model
        assert ApprovalRequest.objects.filter(release=self.release, state="used").count() == model.starts, model

    def real_request(self) -> ApprovalRequest | None:
        """Return the latest approval request of the release."""
        return ApprovalRequest.objects.filter(release=self.release).order_by("-pk").first()

    def real_deployment(self) -> Deployment | None:
        """Return the latest deployment in production."""
        return Deployment.objects.filter(release=self.release, environment__slug="production").order_by("-pk").first()

    def pick(self, fitting: list[str], luck: int, number: int) -> str:
        """Return mostly a person for whom it should work, sometimes any."""
        chosen = sorted(fitting) if fitting and luck < 8 else list(PEOPLE)
        return chosen[number % len(chosen)]

    def who(self, *roles: str) -> list[str]:
        """Return a person who holds one of the roles."""
        return [name for name in PEOPLE if self.model.has(name, *roles)]

    # The way to where an operation can succeed

    def bring(self, luck: int, *places: str) -> None:
        """Go forward until release or deployment is in one of the states; one time in ten do not."""
        if luck == 9:
            return
        for _step in range(30):
            there = self.model.deployment in places or (
                self.model.state in places and self.model.deployment not in WAITING
            )
            if there and not self.model.stale():
                return
            self.forward(_step)
        raise AssertionError(f"no way to {places}: {self.model}")

    def forward(self, number: int = 0) -> None:
        """Do the next operation on the way to a start, by a person who may."""
        model, state = self.model, self.model.state
        if state not in (*BEFORE, "releasing"):
            self.begin()
        elif model.stale():
            self.expire_stale()
        elif state == "draft":
            self.to_lock_scope()
        elif state == "scope_locked":
            self.to_complete_testing()
        elif state == "testing_completed":
            self.to_submit(self.need("release_manager", "manager"))
        elif state == "in_review":
            able = [name for name in COMMITTEE if model.may_approve(name)]
            if able:
                self.to_approve(
                    able[number % len(able)], condition=DONE["approve_with_condition"] < DONE["approve"] / 4
                )
            else:
                waiting_members = [
                    n for n in COMMITTEE if not model.has(n, "committee") and n not in model.live.deciders
                ]
                self.grant(waiting_members[0], "committee") if waiting_members else self.to_withdraw_request()
        elif state == "approved":
            able = [name for name in PEOPLE if model.may_sign(name)]
            self.to_sign_final_check(able[0]) if able else self.grant("operator", "operator")
        elif model.conditions:
            able = [name for name in self.who("committee") if name not in model.kept_out()]
            self.to_complete_condition(able[0]) if able else self.grant("committee_a", "committee")
        elif model.deployment in ("", "cancelled", "missed", "resolved"):
            self.to_request(self.starter())
        elif model.deployment == "requested":
            self.to_schedule(self.starter())
        elif model.deployment in ("scheduled", "queued") and not model.has(model.starter, "operator"):
            self.grant(model.starter, "operator")
        elif model.deployment == "scheduled":
            self.to_enqueue()
        elif model.deployment == "queued":
            self.to_claim()
        else:
            self.to_resolve()

    def need(self, role: str, otherwise: str) -> str:
        """Return a person other than the author with a role; grant it when nobody has it."""
        found = [name for name in self.who(role) if name != self.model.author]
        if not found:
            self.grant(otherwise, role)
        return found[0] if found else otherwise

    def starter(self) -> str:
        """Return an operator who has approved nothing; grant the role where there is none."""
        found = [name for name in self.who("operator") if name not in self.model.past_deciders]
        if found:
            return found[0]
        # The developer made the release, so an approval by them never counts.
        chosen = next(n for n in ("second_operator", "operator", "developer") if n not in self.model.past_deciders)
        self.grant(chosen, "operator")
        return chosen

    # Operations

    def to_lock_scope(self, who: str = "") -> None:
        who = who or self.need("release_manager", "manager")
        fits = self.model.has(who, "release_manager") and self.model.state == "draft"
        if fits and self.window:
            # A completed milestone reopened by a reschedule is in the past: a new date makes it due immediately.
            with self.stock.world.acting_as(who):
                set_scheduled_start(self.release.pk, start=datetime.now(UTC))
            self.window += 1
            self.model.content["window"] = self.window
        self.operate(
            "lock_scope", who, lambda: prepare.lock_scope(self.release.pk), fits, lambda: self.set("scope_locked")
        )

    def to_complete_testing(self, who: str = "") -> None:
        who = who or self.need("release_manager", "manager")
        fits = self.model.has(who, "release_manager") and self.model.state == "scope_locked"
        self.operate(
            "complete_testing",
            who,
            lambda: prepare.complete_testing(self.release.pk),
            fits,
            lambda: self.set("testing_completed"),
        )

    def set(self, state: str) -> None:
        """Record another state of the release."""
        self.model.state = state

    def to_submit(self, who: str) -> None:
        model = self.model
        fits = model.has(who, "release_manager") and model.state == "testing_completed"
        self.operate("submit", who, lambda: submit(self.release.pk), fits, lambda: model.submit(who))

    def to_withdraw_request(self, who: str = "") -> None:
        model = self.model
        who = who or self.need("release_manager", "manager")
        fits = model.has(who, "release_manager") and model.state == "in_review"
        self.operate(
            "withdraw_request",
            who,
            lambda: withdraw_request(self.release.pk),
            fits,
            lambda: model.move("testing_completed", "withdrawn"),
        )

    def to_approve(self, who: str, *, absent: str = "", shown: bool = True, condition: bool = False) -> None:
        row, model = self.real_request(), self.model
        if row is None:
            return
        said: dict[str, Any] = {"digest": row.digest if shown else "0" * 64}
        if absent:
            said["on_behalf_id"] = self.people[absent].pk
        call = decide.approve
        if condition:
            call, said["condition"] = decide.approve_with_condition, "the desk is told"
        verb = "approve_with_condition" if condition else "approve_for_another" if absent else "approve"
        self.operate(
            verb,
            who,
            lambda: call(row.pk, **said),
            model.may_approve(who, absent, shown=shown),
            lambda: model.approve(who, absent, condition=condition),
        )

    def to_sign_final_check(self, who: str) -> None:
        model = self.model
        self.operate(
            "sign_final_check", who, lambda: sign(self.release.pk), bool(model.may_sign(who)), lambda: model.sign(who)
        )

    def to_request(self, who: str) -> None:
        model, where = self.model, self.stock.world.environments["production"].pk
        fits = (
            model.has(who, "operator")
            and model.state in ("final_check_completed", "releasing")
            and model.deployment not in WAITING
        )
        self.operate(
            "request",
            who,
            lambda: request(self.release.pk, environment_id=where),
            fits and model.deployment != "running",
            lambda: setattr(model, "deployment", "requested"),
        )

    def to_schedule(self, who: str) -> None:
        model, deployment = self.model, self.real_deployment()
        if deployment is None:
            return
        fits = (
            model.has(who, "operator")
            and model.deployment == "requested"
            and who not in model.past_deciders
            and model.may_deploy()
        )
        self.operate("schedule", who, lambda: schedule(deployment.pk), fits, lambda: self.scheduled(who))

    def scheduled(self, who: str) -> None:
        """Record who has scheduled the deployment."""
        self.model.deployment, self.model.starter = "scheduled", who
        self.model.starters.add(who)

    def to_enqueue(self) -> None:
        model, deployment = self.model, self.real_deployment()
        if deployment is None:
            return
        fits = model.deployment == "scheduled" and model.has(model.starter, "operator") and model.may_deploy()
        self.operate(
            "enqueue",
            "",
            lambda: enqueue(deployment.pk),
            fits and model.state == "final_check_completed",
            lambda: setattr(model, "deployment", "queued"),
        )

    def to_claim(self) -> None:
        model, deployment = self.model, self.real_deployment()
        step = deployment.steps.order_by("ordinal").first() if deployment is not None else None
        if step is None or deployment is None or deployment.state != "queued":
            return
        fits = model.deployment == "queued" and model.has(model.starter, "operator") and model.may_deploy()
        self.operate("claim", "", lambda: claim(step.pk, worker="w"), fits, model.start)

    def to_resolve(self, who: str = "") -> None:
        model, deployment = self.model, self.real_deployment()
        if deployment is None or model.deployment != "running":
            return
        if deployment.state == "running":
            walk(deployment, "fail")
        others = [name for name in self.who("operator") if name != model.starter]
        if not who and not others:
            self.grant("second_operator" if model.starter != "second_operator" else "operator", "operator")
            others = [name for name in self.who("operator") if name != model.starter]
        who = who or others[0]
        model.deployment = "failed"

        def effect() -> None:
            model.deployment, model.state = "resolved", "testing_completed"

        done = self.operate(
            "resolve", who, lambda: resolve(deployment.pk, how="previous", reason="seen"), who in others, effect
        )
        if not done:
            model.deployment = "running"
            self.to_resolve()

    def to_complete_condition(self, who: str) -> None:
        model = self.model
        debt = FollowUp.objects.filter(release=self.release, blocks="start", completed_at=None).first()
        assert (debt is not None) == bool(model.conditions)
        if debt is None:
            return
        fits = model.has(who, "committee") and who not in model.kept_out()
        self.operate(
            "complete_condition",
            who,
            lambda: complete_follow_up(debt.pk, note="done"),
            fits,
            lambda: setattr(model, "conditions", model.conditions - 1),
        )

    def grant(self, who: str, role: str) -> None:
        """Grant a role, as the command may."""
        if not self.model.has(who, role):
            self.operate(
                "grant_role",
                "",
                lambda: grants.request_role(self.people[who].pk, role=role, reason="needed"),
                True,
                lambda: self.model.roles[who].add(role),
            )

    def expire_stale(self) -> None:
        """Let the poll end stale rows."""
        model, live = self.model, self.model.live
        stale = model.stale()

        def effect() -> None:
            assert live is not None
            model.end_request("expired" if live.expired else "invalidated")
            if model.state in ("in_review", "approved", "final_check_completed"):
                model.state = "testing_completed"

        self.operate("expire_stale", "", lambda: invalidate_stale() or None, stale, effect)

"""Every history of approval: random operations by random people against an independently written reference model.

Most operations are first brought to where they can succeed, so that a history is not empty: each of COUNTED must have
succeeded at least LEAST times. A refusal that the model allows, or an operation that it forbids, fails.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from audit.actor import acting
from audit.reconciliation import nightly
from environments.models import AccessGrant, Account, Delegation
from environments.operations.access import grant as grants
from environments.operations.account.create import create
from environments.operations.delegation import request as delegates
from releases.models import ApprovalDecision, ApprovalRequest, Deployment, Release, Waiver
from releases.operations.approval import decide
from releases.operations.deployment.enqueue import mark_missed
from releases.operations.deployment.schedule import cancel
from releases.operations.release import prepare
from releases.operations.release.plan import edit
from releases.operations.release.reschedule import reschedule
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from tests.conftest import enrolled
from tests.releases.gates.asking import COMMAND, alter
from tests.scenarios.history import COMMITTEE, DONE, FAULTS, PEOPLE, REFUSED, History
from tests.scenarios.reference import BEFORE, WAITING
from tests.scenarios.stock import Stock

LEAST = int(os.environ.get("RINGI_TEST_MIN_OPERATIONS", "5"))  # make chaos asks for 100
TOGGLED, GATES = (*COMMITTEE, "project_manager", "operator", "developer"), ("coverage", "review", "performance")
NAMES = (
    "submit approve approve_with_condition approve_for_another send_back reject withdraw_request reopen_scope edit "
    "lock_scope complete_testing reschedule cancel_release confirm_waiver revoke_waiver expire_stale expire "
    "sign_final_check request schedule enqueue claim cancel_deployment mark_missed resolve complete_condition "
    "grant_role revoke_role"
)
COUNTED = NAMES.split()
RUN = settings(
    max_examples=400 if LEAST > 5 else 70,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
LUCK, PICK = st.integers(0, 9), st.integers(0, 999)


class ApprovalRequestMachine(History):
    """Releases of one application, one after the other, and the people around them."""

    def approve(self, luck: int, number: int, shown: int) -> None:
        """Approve, sometimes another content than the shown one."""
        self.bring(luck, "in_review")
        fitting = [name for name in PEOPLE if self.model.may_approve(name)]
        self.to_approve(self.pick(fitting, luck, number), shown=shown > 0)

    def approve_with_condition(self, luck: int, number: int) -> None:
        """Approve with a condition."""
        self.bring(luck, "in_review")
        fitting = [name for name in PEOPLE if self.model.may_approve(name)]
        self.to_approve(self.pick(fitting, luck, number), condition=True)

    def approve_for_another(self, luck: int, number: int, other: int) -> None:
        """Approve as a delegate, or without being one."""
        self.bring(luck, "in_review")
        pairs = sorted(pair for pair in self.model.delegates if self.model.may_approve(*pair))
        if not pairs and luck < 8:
            self.appoint(number, other)
            pairs = sorted(pair for pair in self.model.delegates if self.model.may_approve(*pair))
        delegate, absent = pairs[number % len(pairs)] if pairs else (PEOPLE[number % 11], PEOPLE[other % 7])
        if delegate != absent:
            self.to_approve(delegate, absent=absent)

    def appoint(self, number: int, other: int) -> None:
        """Appoint a delegate who is not one yet."""
        absent, delegate = COMMITTEE[number % 5], PEOPLE[other % 11]
        taken = {one for _delegate, one in self.model.delegates}
        if absent == delegate or absent in taken:
            return
        moment, world = datetime.now(UTC), self.stock.world
        with world.acting_as(absent):
            row = delegates.request_delegation(
                delegator_id=self.people[absent].pk,
                delegate_id=self.people[delegate].pk,
                starts_at=moment - timedelta(seconds=5),
                until=moment + timedelta(hours=8),
                reason="away",
            )
        with world.acting_as("administrator"):
            delegates.confirm(row.pk)
        self.model.delegates.add((delegate, absent))

    def end_delegation(self, number: int) -> None:
        """End a delegation."""
        if self.model.delegates:
            delegate, absent = sorted(self.model.delegates)[number % len(self.model.delegates)]
            row = Delegation.objects.get(delegator__username=absent, revoked_at=None)
            with self.stock.world.acting_as(absent):
                delegates.revoke(row.pk, reason="back")
            self.model.delegates.discard((delegate, absent))

    def refuse(self, luck: int, number: int, final: bool) -> None:
        """Send back or reject."""
        self.bring(luck, "in_review")
        row, model = self.real_request(), self.model
        if row is None:
            return
        who = self.pick([name for name in PEOPLE if model.may_decide(name)], luck, number)
        verb, call = ("reject", decide.reject) if final else ("send_back", decide.send_back)

        def effect() -> None:
            model.decide(who)
            model.move("rejected" if final else "draft", "rejected" if final else "sent_back")

        self.operate(verb, who, lambda: call(row.pk, digest=row.digest, comment="no"), model.may_decide(who), effect)

    def withdraw_request(self, luck: int, number: int) -> None:
        """Withdraw the request."""
        self.bring(luck, "in_review")
        self.to_withdraw_request(self.pick(self.who("release_manager"), luck, number))

    def reopen_and_edit(self, luck: int, number: int) -> None:
        """Reopen the scope and edit it; the editor is kept out from now on."""
        self.bring(
            luck, *(("in_review", "approved", "final_check_completed", "testing_completed", "scheduled")[number % 5],)
        )
        model = self.model
        who = self.pick(self.who("release_manager"), luck, number)
        fits = model.has(who, "release_manager") and model.state in BEFORE and model.state != "draft"
        self.operate(
            "reopen_scope",
            who,
            lambda: prepare.reopen_scope(self.release.pk, reason="more"),
            fits,
            lambda: model.move("draft", "invalidated"),
        )
        who = self.pick(self.who("release_manager", "project_manager"), luck, number + 1)
        ticket = f"T-{number % 3}"

        def effect() -> None:
            model.editors.add(who)
            model.content["ticket"] = ticket

        fits = model.has(who, "release_manager", "project_manager") and model.state == "draft"
        self.operate("edit", who, lambda: edit(self.release.pk, fields={"ticket": ticket}), fits, effect)

    def reschedule(self, luck: int, number: int) -> None:
        """Choose another window."""
        self.bring(luck, ("approved", "final_check_completed", "scheduled")[number % 3])
        model, who = self.model, self.pick(self.who("release_manager"), luck, number)

        def effect() -> None:
            self.window += 1
            model.content["window"] = self.window
            model.move("testing_completed", "invalidated")

        fits = model.has(who, "release_manager") and model.state in ("approved", "final_check_completed")
        self.operate(
            "reschedule",
            who,
            lambda: reschedule(self.release.pk, start=datetime.now(UTC), reason="later"),
            fits,
            effect,
        )

    def cancel_release(self, luck: int, number: int) -> None:
        """Cancel the release."""
        model, who = self.model, self.pick(self.who("release_manager"), luck, number)
        fits = model.has(who, "release_manager") and model.state in BEFORE
        self.operate(
            "cancel_release",
            who,
            lambda: prepare.cancel(self.release.pk, reason="no"),
            fits,
            lambda: model.move("cancelled", "invalidated"),
        )

    def confirm_waiver(self, luck: int, number: int) -> None:
        """Request and confirm a waiver; it is part of the content."""
        self.bring(luck, ("testing_completed", "in_review", "approved")[number % 3])
        model, gate = self.model, GATES[number % 3]
        first = self.need("release_manager", "manager")
        if gate in model.waivers or model.state not in BEFORE:
            return
        with self.stock.world.acting_as(first):
            row = request_waiver(
                self.release.pk,
                environment_id=self.stock.world.environments["production"].pk,
                gate=gate,
                until=datetime.now(UTC) + timedelta(hours=3),
                reason="tool",
            )
        model.waivers[gate] = (first, False)
        second = self.pick(self.who("project_manager"), luck, number)

        def effect() -> None:
            model.waived_by |= {first, second}
            model.waivers[gate] = (first, True)
            model.content["waivers"].add(f"{gate}:{row.pk}")

        fits = model.has(second, "project_manager") and second not in (first, model.author)
        self.operate("confirm_waiver", second, lambda: waivers.approve(row.pk), fits, effect)

    def revoke_waiver(self, luck: int, number: int) -> None:
        """Revoke a waiver."""
        row = Waiver.objects.filter(release=self.release, revoked_at=None).order_by("pk").first()
        if row is None:
            return
        model, who = self.model, self.pick(self.who("project_manager", "release_manager"), luck, number)

        def effect() -> None:
            model.waivers.pop(row.gate)
            model.content["waivers"].discard(f"{row.gate}:{row.pk}")

        fits = model.has(who, "project_manager", "release_manager")
        self.operate("revoke_waiver", who, lambda: waivers.revoke(row.pk, reason="back"), fits, effect)

    def tamper(self, luck: int, number: int) -> None:
        """Change a value under the digest from outside; sometimes the poll sees it at once."""
        self.bring(luck, ("in_review", "approved", "queued")[number % 3])
        value = ("roll_back", "keep")[number % 2]
        alter(self.release, on_timeout=value)
        self.model.content["on_timeout"] = value
        if luck % 2:
            self.expire_stale()

    def expire(self, luck: int, number: int) -> None:
        """Let the window of the request pass."""
        self.bring(luck, ("in_review", "final_check_completed", "queued")[number % 3])
        row, live = self.real_request(), self.model.live
        if row is not None and live is not None and not live.expired:
            alter(row, valid_until=datetime.now(UTC) - timedelta(seconds=1))
            live.expired = True
            DONE["expire"] += 1
        self.anything(number)

    def anything(self, number: int) -> None:
        """Try the next operation on the way to a start, whether it is allowed or not."""
        who = PEOPLE[number % 11]
        tries = (self.to_submit, self.to_approve, self.to_sign_final_check, self.to_request, self.to_schedule)
        tries[number % 5](who)
        (self.to_enqueue, self.to_claim, self.expire_stale)[number % 3]()

    def start(self, luck: int, number: int) -> None:
        """Start a deployment, and resolve it as previous, by any person."""
        self.bring(luck, "queued")
        self.to_claim()
        if luck % 2:
            self.to_resolve(PEOPLE[number % 11])
            self.to_resolve()

    def end_deployment(self, luck: int, number: int, missed: bool) -> None:
        """Cancel or miss a deployment that has not begun: the approval stays valid."""
        self.bring(luck, ("requested", "scheduled", "queued")[number % 3] if not missed else "scheduled")
        deployment: Deployment | None = self.real_deployment()
        model = self.model
        if deployment is None:
            return
        if missed:
            self.operate(
                "mark_missed",
                "",
                lambda: mark_missed(deployment.pk) or True,
                model.deployment in ("scheduled", "queued"),
                lambda: setattr(model, "deployment", "missed"),
            )
            return
        who = self.pick(self.who("release_manager", "operator"), luck, number)
        fits = model.has(who, "release_manager", "operator") and model.deployment in WAITING
        self.operate(
            "cancel_deployment",
            who,
            lambda: cancel(deployment.pk, reason="no"),
            fits,
            lambda: setattr(model, "deployment", "cancelled"),
        )

    def complete_condition(self, number: int) -> None:
        """Complete a promised condition, by any person."""
        if not self.model.conditions:
            self.approve_with_condition(0, number)
        self.to_complete_condition(self.pick(self.who("committee"), number % 10, number))

    def change_roles(self, number: int) -> None:
        """Revoke a person's role, or grant one."""
        who = TOGGLED[number % len(TOGGLED)]
        role = "operator" if who == "operator" else "committee"
        if not self.model.has(who, role):
            self.grant(who, role)
            return
        row = AccessGrant.objects.get(account=self.people[who], role=role, revoked_at=None)
        self.operate(
            "revoke_role",
            "administrator",
            lambda: grants.revoke(row.pk, reason="moved"),
            role != "committee" or len(self.who(role)) > 2,  # the rules ask for two
            lambda: self.model.roles[who].discard(role),
        )

    @rule(luck=LUCK, number=PICK, other=PICK)
    def lacking(self, luck: int, number: int, other: int) -> None:
        """Mostly the operation with the fewest successes, so that none is rare; nothing once all have enough."""
        if self.over():
            return
        if other % 8 < 3:
            (lambda: self.tamper(luck, number), lambda: self.anything(number), lambda: self.end_delegation(number))[
                other % 8
            ]()
            return
        rare = min(COUNTED, key=lambda verb: DONE[verb])
        doing: dict[str, Any] = {
            "approve_with_condition": lambda: self.approve_with_condition(luck, number),
            "approve_for_another": lambda: self.approve_for_another(luck, number, other),
            "send_back": lambda: self.refuse(luck, number, False),
            "reject": lambda: self.refuse(luck, number, True),
            "withdraw_request": lambda: self.withdraw_request(luck, number),
            "reopen_scope": lambda: self.reopen_and_edit(luck, number),
            "edit": lambda: self.reopen_and_edit(luck, number),
            "reschedule": lambda: self.reschedule(luck, number),
            "cancel_release": lambda: self.cancel_release(luck, number),
            "confirm_waiver": lambda: self.confirm_waiver(luck, number),
            "revoke_waiver": lambda: (self.confirm_waiver(luck, number), self.revoke_waiver(luck, number)),
            "expire": lambda: self.expire(luck, number),
            "expire_stale": lambda: (self.expire(luck, number), self.expire_stale()),
            "cancel_deployment": lambda: self.end_deployment(luck, number, False),
            "mark_missed": lambda: self.end_deployment(luck, number, True),
            "complete_condition": lambda: self.complete_condition(number),
            "grant_role": lambda: self.change_roles(number),
            "revoke_role": lambda: self.change_roles(number),
            "resolve": lambda: self.start(luck | 1, number),
        }
        doing.get(rare, lambda: self.start(luck, number))()

    def over(self) -> bool:
        """Tell whether every operation has succeeded often enough; the rest of the history is then empty."""
        return min(DONE[verb] for verb in COUNTED) >= LEAST

    def teardown(self) -> None:
        """Check that each attempt in production has used its own approval; then make room for the next release."""
        if not hasattr(self, "release"):
            return
        deployments = Deployment.objects.filter(environment__slug="production").exclude(
            state__in=[*WAITING, "cancelled", "missed"]
        )
        used = [deployment.approval_request for deployment in deployments.select_related("approval_request")]
        assert all(approval is not None and approval.state == "used" for approval in used)
        assert len({approval.pk for approval in used if approval is not None}) == len(used), "single use"
        self.put_back()
        self.stock.end(self.release)

    def put_back(self) -> None:
        """Restore the people, so that no history depends on another."""
        for name, held in self.restore.items():
            for role in self.model.roles[name] - held:
                alter(
                    AccessGrant.objects.get(account=self.people[name], role=role, revoked_at=None),
                    revoked_at=datetime.now(UTC),
                )
            for role in held - self.model.roles[name]:
                with acting(COMMAND):
                    grants.request_role(self.people[name].pk, role=role, reason="back")
        for row in Delegation.objects.filter(revoked_at=None):
            alter(row, revoked_at=datetime.now(UTC))


@pytest.mark.timeout(900)
def test_approval_follows_the_rules_in_every_history(stock: Stock) -> None:
    with acting(COMMAND):
        for name in COMMITTEE[2:]:
            made = enrolled(create(username=name, display_name=name, kind="person"))
            stock.world.people[name] = made
            grants.request_role(made.pk, role="committee", reason="a seat")
    people: dict[str, Account] = stock.world.people
    machine: Any = type("Machine", (ApprovalRequestMachine,), {"stock": stock, "people": people})
    for record in (DONE, REFUSED, FAULTS):
        record.clear()
    try:
        run_state_machine_as_test(machine, settings=RUN)
    except Exception:
        if FAULTS:
            pytest.fail(FAULTS[0])
        raise
    rare = {verb: DONE[verb] for verb in COUNTED if DONE[verb] < LEAST}
    assert not rare, f"too rare: {rare} succeeded less than {LEAST} times"
    # Whatever the operations did and refused, none of it raises an alarm at night.
    with acting(COMMAND):
        night_ = nightly.reconcile()
    written = ApprovalRequest.objects.count() + ApprovalDecision.objects.count() + Release.objects.count()
    assert night_ is not None and night_.found["rows"] > written and night_.found["alarms"] == []

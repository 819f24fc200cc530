"""Deployment processes: an application's own steps, checks and triggers, versioned and approved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tomli_w
from django.urls import reverse

from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.models import Application
from environments.models.environment import targets_in
from environments.operations.access.grant import request_role
from releases.admin.pages.deployment_process.page import LABELS, template_text
from releases.gates.content import document
from releases.gates.evaluation import evaluate
from releases.models import ApprovalRequest, Deployment, DeploymentProcess, Procedure, Release
from releases.operations.approval import decide
from releases.operations.approval.submit import submit as submit_release
from releases.operations.deployment.enqueue import create_steps
from releases.operations.deployment.request import request
from releases.operations.deployment_process import put_into_effect
from releases.operations.deployment_process.create import create
from releases.operations.procedure.put_into_effect import load, submit as submit_procedure
from releases.operations.release.plan import plan
from releases.operations.release.prepare import reopen_scope
from releases.operations.release.use_process import use_process
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types
from releases.queries.step_waves import lay_out
from tests.releases.gates.asking import make

from .test_own_roles import in_effect


def read(text: str) -> Process:
    """Read a process under the procedure in effect, with the types that there are."""
    return Process.from_toml(
        text, Procedure.objects.get(state="in_effect").document, ("main", "web"), **procedure_types()
    )


def made(world: Any, text: str = "", *, who: str = "developer") -> DeploymentProcess:
    """Create a version for the application of the world; text: left out, the template for static files."""
    with world.acting_as(who):
        return create(
            application_id=world.application.pk, content=read(text or template_text("static-files")), reason="our own"
        )


def submitted(world: Any, process: DeploymentProcess) -> ApprovalRequest:
    """Submit a version for approval."""
    with world.acting_as("developer"):
        return put_into_effect.submit(process.pk, reason="as we deploy")


def put(world: Any, process: DeploymentProcess) -> DeploymentProcess:
    """Put a version into effect."""
    approval_request = submitted(world, process)
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    return world.fresh(process)


def steps_of(release: Release) -> list[str]:
    """Return the types of the steps of a deployment."""
    return [row["step_type"] for row in release.step_plan["deployment"]]


def test_an_application_has_steps_of_its_own(world: Any) -> None:
    release = world.planned("1.3.0")
    assert (release.process, steps_of(release)[0]) == (None, "backup")
    process = made(world)
    assert world.fresh(release).process == process, "a first draft serves the releases that are drafts"
    process = put(world, process)
    release = world.fresh(release)
    assert (process.state, process.number) == ("in_effect", 1)
    assert (release.process, steps_of(release)) == (process, ["code_deploy", "service_control"])
    other = make(Application, slug="other", name="Other")
    with world.acting_as("manager"):
        planned = plan(application_id=other.pk, version="1.0.0", title="Another application")
    assert (planned.process, steps_of(planned)[0]) == (None, "backup")


def test_a_first_draft_serves_below_production(world: Any) -> None:
    """The first hour: nothing is approved yet, and development may be deployed to; production may not."""
    draft = made(world)
    release = world.planned("1.3.0")
    assert release.process == draft
    refused = {place: [a.gate for a in evaluate(release, world.environments[place])] for place in world.environments}
    assert {place for place, gates in refused.items() if "unapproved_process" in gates} == {"production"}
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
    assert deployment.process == draft
    assert [check.key for check in deployment.content.checks if check.when == "rollback"] == ["rollback_page"]


def test_a_new_draft_replaces_an_earlier_one(world: Any) -> None:
    first = made(world)
    release = world.planned("1.3.0")
    second = made(world, template_text("service"))
    assert (world.fresh(first).state, second.number) == ("discarded", 2)
    assert world.fresh(release).process == second
    assert "configuration_update" in steps_of(world.fresh(release))
    with world.acting_as("developer"), pytest.raises(NotPossible, match="follows this version"):
        put_into_effect.discard(second.pk, reason="not wanted")


def test_the_author_approves_no_version(world: Any) -> None:
    with world.acting_as("administrator"):
        request_role(world.people["committee_a"].pk, role="developer", reason="writes code as well")
    process = made(world, who="committee_a")
    approval_request = submitted(world, process)
    assert approval_request.rules == Procedure.objects.get(state="in_effect").document.rules_for("procedure")
    for who, why in (("committee_a", "the author of"), ("developer", "the permission"), ("operator", "the permission")):
        with world.acting_as(who), pytest.raises(NotPermitted, match=why):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    with world.acting_as("tester"), pytest.raises(NotPermitted):
        create(application_id=world.application.pk, content=process.document, reason="not mine to make")


def test_who_wrote_in_an_earlier_draft_approves_no_later_one(world: Any) -> None:
    with world.acting_as("administrator"):
        request_role(world.people["committee_a"].pk, role="developer", reason="writes code as well")
    made(world, who="committee_a")
    process = made(world, who="developer")
    assert process.writers == [world.people["committee_a"].pk]
    approval_request = submitted(world, process)
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="the author of"):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_rules_of_its_own_replace_those_of_the_procedure(world: Any) -> None:
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    own = {"subject": "process", "tier": "all", "stage": 1, "role": "project_manager", "number": 1, "origin": "default"}
    raw["approval_rules"].append(own)
    in_effect(world, Content.checked(raw), office="")
    assert [row["role"] for row in submitted(world, made(world)).rules] == ["project_manager"]


@pytest.mark.parametrize("answer", ["send_back", "reject"])
def test_a_version_that_is_refused_comes_into_no_effect(world: Any, answer: str) -> None:
    process = made(world)
    approval_request = submitted(world, process)
    with world.acting_as("committee_a"):
        getattr(decide, answer)(approval_request.pk, digest=approval_request.digest, comment="no rollback test")
    assert world.fresh(process).state == {"send_back": "draft", "reject": "discarded"}[answer]
    assert world.planned("1.3.0").process == (process if answer == "send_back" else None)


def test_a_withdrawn_version_is_a_draft_again(world: Any) -> None:
    process = made(world)
    approval_request = submitted(world, process)
    with world.acting_as("developer"):
        put_into_effect.withdraw_request(process.pk, reason="a step is missing")
    assert (world.fresh(process).state, world.fresh(approval_request).state) == ("draft", "withdrawn")


def test_a_new_version_ends_the_approvals_that_were_given_for_the_old_one(world: Any) -> None:
    process = put(world, made(world))
    release, approval_request = world.approved()
    assert approval_request.document["process"] == {"number": 1, "digest": process.digest}
    later = put(world, made(world, template_text("service")))
    release, approval_request = world.fresh(release), world.fresh(approval_request)
    assert (release.process, release.state) == (later, "testing_completed")
    assert (approval_request.state, approval_request.invalidated_by) == ("invalidated", "process")
    assert "configuration_update" in steps_of(release) and world.fresh(process).state == "retired"
    assert document(release, world.environments["production"])["process"]["number"] == 2


def test_of_two_requests_the_second_is_sent_back(world: Any) -> None:
    first = made(world)
    one = submitted(world, first)
    second = made(world, template_text("service"))
    other = submitted(world, second)
    assert world.fresh(first).state == "in_review", "a version in review is no draft to replace"
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(one.pk, digest=one.digest)
    assert (world.fresh(other).state, world.fresh(second).state) == ("invalidated", "draft")
    assert submitted(world, second).document["base"] == {"version": "1", "digest": first.digest}


def test_a_draft_is_tried_before_it_is_approved(world: Any) -> None:
    put(world, made(world))
    release = world.tested()
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="try the new steps")
    draft = made(world, template_text("service"))
    assert world.fresh(release).process.number == 1
    with world.acting_as("manager"):
        use_process(release.pk, process_id=draft.pk)
    release = world.fresh(release)
    assert (release.process, "configuration_update" in steps_of(release)) == (draft, True)
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="no such version"):
        use_process(release.pk, process_id=draft.pk + 1000)


def test_no_approval_is_requested_for_steps_that_are_not_approved(world: Any) -> None:
    made(world)
    release = world.tested()
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="is not approved"):
        submit_release(release.pk)
    assert world.fresh(release).state == "testing_completed"


def test_variables_have_their_values_where_the_steps_run(world: Any) -> None:
    own = 'name = "page"\nvalue = "/"'
    text = template_text("static-files").replace(
        own, own + '\n[[variables]]\nname = "page"\nvalue = "/test"\nenvironments = ["development"]'
    )
    made(world, text)
    release = world.planned("1.3.0")
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
    with world.acting_as("operator"), operation("test:lay", (Deployment, deployment.pk)):
        rows = create_steps(deployment, ("deployment", "verification"))
    paths = [row.parameters["parameters"].get("path") for row in rows if row.step_type == "check"]
    assert "/test" in paths and "#{page}" not in paths
    laid = lay_out(
        [("verification", release.step_plan["verification"][1])],
        targets_in(world.application, world.environments["staging"]),
        deployment.process.document,
    )
    assert laid[0].row["parameters"]["parameters"]["path"] == "/"
    assert [check.parameters["path"] for check in deployment.content.checks if check.when == "rollback"] == ["/test"]


@pytest.mark.parametrize(
    ("changed", "place", "said"),
    [
        (('metric = "service_down"', 'metric = "unknown"'), "triggers[0].metric (line", "unknown metric"),
        (('type = "code_deploy"', 'type = "copy"'), "plans.deployment[0].type (line", "unknown step type"),
        (('"#{page}"', '"#{start}"'), "checks[1].parameters.path (line", "which is no variable"),
        (('value = "/"', 'value = "/"\nenvironments = ["staging"]'), "checks[1]", "has no value in development"),
        (('value = "/"', 'value = "/"\nenvironments = ["nowhere"]'), "variables[0]", "an unknown environment"),
        (('value = "/"', 'value = "/"\ntargets = ["web"]'), "checks[1]", "has no value on other targets"),
        (('value = "/"', 'value = "/"\ntargets = ["nowhere"]'), "variables[0].targets", "an unknown target or group"),
        (('value = "/"', 'value = "/"\ntargets = ["web", "web"]'), "variables[0].name", "is written twice"),
        (("format = 1", "format = 1\nroles = []"), "roles (line", "is not known here"),
        (("format = 1", "format = "), "(the text)", "is not TOML"),
        (("[[triggers]]", "[[unknown]]"), "triggers[4].metric", "so write triggers of the process's own"),
    ],
)
def test_faults_name_their_line(world: Any, changed: tuple[str, str], place: str, said: str) -> None:
    text = template_text("static-files")
    assert changed[0] in text
    with pytest.raises(ProcedureFaults) as refused:
        read(text.replace(*changed))
    assert any(fault.place.startswith(place) and said in fault.message for fault in refused.value.faults), str(
        refused.value
    )


def test_a_procedure_that_the_processes_do_not_fit_is_refused(world: Any) -> None:
    """A process may count on a metric of the procedure; one without it would leave its trigger without a value."""
    raw = default().model_dump(mode="json")
    trigger = next(row for row in raw["triggers"] if row["key"] == "error_rate")
    put(world, made(world, tomli_w.dumps({"format": 1, "triggers": [filled(trigger)]})))
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    raw["metrics"] = [row for row in raw["metrics"] if row["key"] != "error_rate"]
    raw["monitoring"]["metrics"].remove("error_rate")
    raw["triggers"] = [row for row in raw["triggers"] if row["metric"] != "error_rate"]
    with world.acting_as("manager"):
        draft = load(Content.checked(raw), reason="other metrics")
        with pytest.raises(InvalidInput, match="Datasets .*triggers.0..metric: names 'error_rate', an unknown metric"):
            submit_procedure(draft.pk, reason="other metrics")


def filled(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as TOML can say it."""
    return {key: value for key, value in row.items() if value is not None}


@pytest.mark.parametrize("name", LABELS)
def test_each_template_has_no_fault_and_leads_to_a_version(
    world: Any, browsers: Callable[[str], Any], name: str
) -> None:
    read(template_text(name))
    browser = browsers("developer")
    page = browser.get(reverse("admin:environments_application_change", args=[world.application.pk])).content.decode()
    assert f"?template={name}" in page
    address = reverse("operation", args=["deployment_process", "create", world.application.pk])
    form = browser.get(f"{address}?template={name}").content.decode()
    words = {"containers": ("container", "Run the container"), "pipeline": ("pipeline_run", "Deploy by the pipeline")}
    step, label = words.get(name, ("code_deploy", "Deploy the"))
    assert step in form
    given = {"content": template_text(name), "reason": "from a template"}
    tried = browser.post(address, given | {"try": "1"}).content.decode()
    assert "The document has no fault." in tried and not DeploymentProcess.objects.exists()
    wrong = browser.post(address, given | {"content": "format = 1\n[[plans.deployment]]\n", "try": "1"})
    assert "plans.deployment[0].key" in wrong.content.decode()
    assert browser.post(address, given).status_code == 302
    process = DeploymentProcess.objects.get()
    shown = browser.get(reverse("admin:releases_deploymentprocess_change", args=[process.pk])).content.decode()
    assert label in shown and "As TOML" in shown


def test_approvers_see_what_differs_before_the_whole(world: Any, browsers: Callable[[str], Any]) -> None:
    first = put(world, made(world))
    release = world.planned("1.3.0")
    text = template_text("static-files").replace("parameters.seconds = 3", "parameters.seconds = 9")
    approval_request = submitted(world, made(world, text))
    page = browsers("committee_a").get(reverse("approval-request", args=[approval_request.pk])).content.decode()
    assert "difference from version 1" in page and "seconds: 3 → 9" in page and "None" not in page
    assert "version in effect" in page and "as we deploy" in page, "the history says who submitted it, and why"
    assert str(release) in page and first.digest[:12] in page
    empty = submitted(world, made(world, template_text("service")))
    assert (
        "difference from version 1"
        in browsers("committee_a").get(reverse("approval-request", args=[empty.pk])).content.decode()
    )

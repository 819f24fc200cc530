"""Documents of the organisation's own, and the signatures that its procedure asks for: role, meaning and order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.operation import operation
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from releases.operations.document import review
from releases.operations.release.prepare import lock_scope
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from tests.releases.gates.asking import COMMAND, shown, walk

from .test_own_roles import RISK_OFFICE, in_effect

AUTHOR = {"state": "content_checked", "role": "author", "en": "Author: complete", "origin": "default"}
RISK = {"state": "content_checked", "role": "risk_office", "en": "Risk office: no new risk", "origin": "default"}
MANAGER = {"state": "approved", "role": "project_manager", "en": "Accepted", "origin": "default"}


def procedure(*signatures: dict[str, Any], version: str = "9.0.0", **changes: Any) -> Content:
    """The default with a validation report that these sign, and a role of its own."""
    raw = default().model_dump(mode="json") | changes
    raw["version"], raw["history"][-1]["version"] = version, version
    raw["roles"].append(RISK_OFFICE)
    report = {"key": "validation", "en": "Validation report", "template": "Result:", "origin": "default"}
    raw["documents"].append(report | ({"signatures": list(signatures)} if signatures else {}))
    return Content.checked(raw)


def written(world: Any, content: Content) -> Any:
    """Put a procedure into effect; return the report of a release whose scope is locked, rewritten by a developer."""
    in_effect(world, content)
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    document = release.documents.get(kind="validation")
    assert document.body == "Result:"
    with world.acting_as("developer"):
        return review.write(document.pk, body="Result: passed")


def signed(world: Any, document: Any, who: str) -> Any:
    """Give the next signature."""
    document = world.fresh(document)
    verb = review.check_content if document.open_signature.for_state == "content_checked" else review.approve
    with world.acting_as(who):
        return verb(document.pk, digest=shown(document))


def test_each_role_signs_in_its_turn_and_another_meaning(world: Any) -> None:
    document = written(world, procedure(AUTHOR, RISK, MANAGER))
    for early in ("tester", "operator", "manager"):
        with pytest.raises(NotPermitted, match="Only a person who wrote the text|You do not have the permission"):
            signed(world, document, early)
    assert signed(world, document, "developer").state == "draft"
    for other in ("developer", "operator", "manager", "project_manager"):
        with pytest.raises(NotPermitted):
            signed(world, document, other)
    assert signed(world, document, "tester").state == "content_checked"
    for other in ("tester", "manager", "developer"):
        with pytest.raises(NotPermitted):
            signed(world, document, other)
    assert signed(world, document, "project_manager").state == "approved"
    rows = [(row.label_en, row.account.username, row.digest) for row in document.signatures.all()]
    assert rows == [
        ("Author: complete", "developer", shown(document)),
        ("Risk office: no new risk", "tester", shown(document)),
        ("Accepted", "project_manager", shown(document)),
    ]


def test_a_named_role_signs_no_other_document(world: Any) -> None:
    """The committee has no permission for documents; being named gives it one for the document that names it."""
    document = written(world, procedure(RISK | {"role": "committee"}, MANAGER | {"role": "committee"}))
    other = document.release.documents.get(kind="changelog")
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="Check document content"):
        review.check_content(other.pk, digest=shown(other))
    assert signed(world, document, "committee_a").state == "content_checked"
    with pytest.raises(NotPermitted, match="A different person from the one before"):
        signed(world, document, "committee_a")
    assert signed(world, document, "committee_b").state == "approved"


def test_a_rewritten_text_loses_every_signature(world: Any) -> None:
    document = written(world, procedure(AUTHOR, MANAGER))
    signed(world, document, "developer")
    with world.acting_as("manager"):
        review.write(document.pk, body="Result: failed")
    assert not document.signatures.exclude(signed_at=None).exists()
    document = world.fresh(document)
    with world.acting_as("developer"), pytest.raises(GateNotPassed, match="Read it again"):
        review.check_content(document.pk, digest="0" * 64)


def test_states_that_are_not_asked_for_pass_by_themselves(world: Any) -> None:
    states = [row for row in default().model_dump(mode="json")["document_states"] if row["key"] == "approved"]
    document = written(world, procedure(AUTHOR, document_states=states))
    assert {row.state for row in document.release.documents.all()} == {"draft"}
    assert signed(world, document, "developer").state == "ready_to_publish"
    changelog = document.release.documents.get(kind="changelog")
    assert signed(world, changelog, "project_manager").state == "ready_to_publish"


def test_a_document_without_signatures_is_ready_once_it_has_a_text(world: Any) -> None:
    content = procedure(document_states=[])
    in_effect(world, content)
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    assert {row.state for row in release.documents.all()} == {"ready_to_publish"}
    with world.acting_as("developer"):
        document = review.write(release.documents.first().pk, body="Corrected")
        assert document.state == "ready_to_publish"
        walk(document, "publish")
        with pytest.raises(NotPossible, match="Published"):
            review.write(document.pk, body="What was never published")
    empty = Content.checked(
        content.model_dump(mode="json")
        | {"documents": [{"key": "empty", "en": "Empty", "origin": "default"}]}
        | {"notification_rules": []}
    )
    with acting(COMMAND), operation("test:create"):
        made = review.create(release, empty.documents[0], empty, "")
    assert (made.state, made.body) == ("draft", "")


def test_a_version_that_asks_for_another_signature_begins_again(world: Any) -> None:
    document = written(world, procedure(AUTHOR))
    assert signed(world, document, "developer").state == "approved"
    later = procedure(AUTHOR, MANAGER, version="9.1.0")
    with acting(COMMAND), operation("test:create"):
        review.create(document.release, later.documents[-1], later, "")
    document = world.fresh(document)
    assert document.state == "draft"
    assert [row.role for row in document.signatures.all()] == ["author", "project_manager"]


@pytest.mark.parametrize(
    ("signatures", "place", "said"),
    [
        ((AUTHOR | {"role": "nobody"},), "documents[3].signatures[0].role", "an unknown role of people that may sign"),
        ((AUTHOR | {"role": "ci"},), "documents[3].signatures[0].role", "an unknown role of people that may sign"),
        ((AUTHOR | {"role": "auditor"},), "documents[3].signatures[0].role", "an unknown role of people"),
        ((MANAGER, AUTHOR), "documents[3].signatures[1].state", "comes before the state of the signature above"),
    ],
)
def test_a_signature_that_no_one_could_give_is_refused(
    signatures: tuple[dict[str, Any], ...], place: str, said: str
) -> None:
    with pytest.raises(ProcedureFaults) as caught:
        procedure(*signatures)
    assert [(fault.place, said in fault.message) for fault in caught.value.faults] == [(place, True)]


def test_the_page_names_what_is_signed(world: Any, browsers: Callable[[str], Any]) -> None:
    document = written(world, procedure(AUTHOR, RISK, MANAGER))
    address = reverse("operation", args=["document", "check_content", document.pk])
    assert "Author: complete" in browsers("developer").get(address).content.decode()
    assert browsers("tester").get(address).status_code in (403, 409)
    release = browsers("manager").get(reverse("release", args=[document.release_id])).content.decode()
    assert "Risk office: no new risk" in release
    tasks = browsers("developer").get("/admin/").content.decode()
    assert "Sign as: Author: complete" in tasks

"""The gate of an attestation: a statement about its subject, from one of its roles, that is still valid."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.refusals import InvalidInput, NotPermitted
from releases.gates.evaluation import evaluate
from releases.operations.evidence.upload import upload
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default
from tests.releases.operations.test_own_roles import in_effect

GATE = {
    "key": "training",
    "type": "attestation",
    "subject": "operator-training",
    "roles": ["tester"],
    "tiers": ["staging"],
    "en": "Operators are trained",
}


@pytest.fixture
def release(world: Any) -> Any:
    """A planned release under a procedure that asks for a training record."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    raw["gates"].append(GATE)
    in_effect(world, Content.checked(raw), office="")
    return world.planned()


def stated(world: Any, who: str = "tester", **said: Any) -> None:
    """Upload a statement about the training."""
    statement = {"subject": "operator-training", "result": "passed"} | said
    with world.acting_as(who):
        upload(
            world.application.pk,
            environment_id=world.environments["staging"].pk,
            kind="statement",
            commit=world.built.commits["v1.3.0"],
            files=[("", json.dumps(statement).encode())],
        )


def asked(world: Any, release: Any, **later: Any) -> Any:
    """Return the gate's answer in staging."""
    at = now() + timedelta(**later)
    found = evaluate(world.fresh(release), world.environments["staging"], at)
    return next(answer for answer in found if answer.gate == "training")


def test_without_a_statement_the_gate_is_unknown(world: Any, release: Any) -> None:
    answer = asked(world, release)
    assert (answer.result, answer.reason) == ("unknown", "No statement about “operator-training” has been uploaded.")


def test_a_statement_passes_until_its_end(world: Any, release: Any) -> None:
    stated(world, valid_until=(now() + timedelta(days=2)).isoformat(), note="course 12")
    assert (asked(world, release).result, asked(world, release).reason) == (
        "passed",
        "operator-training: passed · course 12",
    )
    later = asked(world, release, days=3)
    assert later.result == "not_passed" and "was valid until" in later.reason


def test_the_newest_statement_counts(world: Any, release: Any) -> None:
    stated(world)
    stated(world, result="failed")
    assert asked(world, release).result == "not_passed"
    stated(world)
    assert asked(world, release).result == "passed"


def test_only_the_roles_of_the_gate_upload_it(world: Any, release: Any) -> None:
    """Also not to replace what one of them has said."""
    stated(world)
    with pytest.raises(NotPermitted, match="Tester"):
        stated(world, "developer", result="failed")
    assert asked(world, release).result == "passed"


def test_a_statement_from_before_the_roles_were_named_counts_for_nothing(world: Any, release: Any) -> None:
    del release
    stated(world)
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.1.0", "9.1.0"
    raw["gates"].append(GATE | {"roles": ["project_manager"]})
    in_effect(world, Content.checked(raw), office="")
    from releases.models import Release

    answer = asked(world, Release.objects.get(version="1.3.0"))
    assert answer.result == "not_passed" and "is not from one of these roles" in answer.reason


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"result": "perhaps"}, "must be “passed” or “failed”"),
        ({"valid_until": "soon"}, "is not a time"),
        ({"valid_until": "2027-03-31T12:00:00"}, "names no time zone"),
        ({"subject": ""}, "does not say “subject”"),
    ],
)
def test_a_statement_that_says_nothing_is_refused(world: Any, release: Any, said: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        stated(world, **said)

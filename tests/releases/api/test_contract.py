"""The API follows its description for any caller and any data: no server error, and no answer without a token."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

from releases.models import Deployment, Evidence, Release
from tests.releases.gates.asking import alter

from .conftest import ask, token_for

# Cases per operation: a twentieth of this with data that fit the description, and as many with data that do not.
pytestmark = pytest.mark.timeout(300)
EXAMPLES = int(os.environ.get("RINGI_TEST_EXAMPLES", "60"))
NOBODY = ("anonymous", "revoked")
DESCRIBED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
JUNIT = '<testsuite tests="1" failures="0" errors="0"><testcase name="a"/></testsuite>'
# Values outside any schema: data that a database refuses, sizes, huge numbers, words of other languages.
ODD: list[str | int | float] = [
    "",
    " ",
    "a\x00b",
    "\x00",
    "ｖ１．３．０",
    "x" * 300,
    "x" * 30_000,
    "🗻" * 80,
    "'; --",
    "../../etc/passwd",
    "%s%n",
    "{}",
    "-",
    "--help",
    "refs/heads/main",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "2026-12-16T01:00",
    -1,
    0,
    10**18,
    2**63,
    2**80,
    1.5,
    1e308,
]
# Data that no generator writes as JSON: bodies that are no object, and invalid values inside one.
NO_OBJECT = (b"", b"{", b"[]", b"null", b"false", b"5", b'"text"', b"\xff\xfe{}", b"[" * 5000)
NO_VALUE = (r'"\ud800"', "NaN", "1e999", "1" * 5000, "[" * 500 + "]" * 500)


@pytest.fixture
def callers(world: Any, managing: str) -> dict[str, dict[str, str]]:
    """The headers of the callers: none, a revoked token, CI's, one of two environments, a release manager's."""
    from audit.clock import now
    from environments.models import Token

    revoked = token_for(world, world.people["ci"])
    alter(Token.objects.get(digest=Token.digest_of(revoked)), revoked_at=now())
    tokens = {
        "revoked": revoked,
        "ci": token_for(world, world.people["ci"]),
        "narrow": token_for(world, world.people["ci"], "development", "staging"),
        "managing": managing,
    }
    return {"anonymous": {}} | {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}


@pytest.fixture
def known(world: Any) -> dict[str, list[Any]]:
    """Known values by the name of the parameter or field, the likeliest first."""
    release = world.planned()
    deployment, now = world.verified_deployment(release, "development"), datetime.now(UTC).isoformat()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    return {
        "release_id": [release.pk],
        "release": [release.pk],
        "deployment_id": [deployment.pk],
        "application": ["datasets"],
        "version": ["1.3.0", "1.4.0"],
        "environment": ["development", "staging", "production"],
        "permission": ["start"],
        "commit": [world.built.commits["v1.3.0"]],
        "branch": ["release/1.3"],
        "state": ["draft", "succeeded"],
        "test_type": ["unit"],
        "configuration_id": [world.configurations["staging"].pk],
        "start": [now],
        "at": [now],
        "since": [yesterday],
        "until": [now],
        "file": [JUNIT],
    }


@pytest.fixture
def operations(callers: dict[str, dict[str, str]], known: dict[str, list[Any]]) -> list[Any]:
    """Every operation of the description that the application serves; the one that ends a release comes last."""

    def often(dictionary: str) -> dict[str, Any]:
        return {"dictionary": dictionary, "probability": 0.85}

    dictionaries = known | {"odd": ODD, "kind_of_evidence": ["file", "junit"]}
    of_evidence = {"query.kind": often("kind_of_evidence"), "body.kind": often("kind_of_evidence")}
    described = schemathesis.openapi.from_wsgi(
        "/api/v1/openapi.json",
        get_wsgi_application(),
        headers=callers["ci"],
        config=schemathesis.Config.from_dict(
            {
                "dictionaries": {name: {"values": values} for name, values in dictionaries.items()},
                "parameters": {f"{prefix}{name}": often(name) for name in known for prefix in ("", "body.")},
                "operations": [{"include-path": "/api/v1/evidence", "parameters": of_evidence}],
                "generation": {
                    "with-security-parameters": False,
                    "dictionaries": {kind: {"dictionary": "odd", "probability": 0.2} for kind in ("string", "integer")},
                },
                # Words from the source would make different cases at every commit.
                "analysis": {"constants": {"enabled": False}},
            }
        ),
    )
    return sorted((found.ok() for found in described.get_all_operations()), key=lambda o: o.path.endswith("withdraw"))


def each(cases: Any, count: int, check: Callable[[Any], None]) -> None:
    """Call a function with `count` cases, the same ones each time; the first one is the plainest."""
    bounded = settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    bounded(given(cases)(lambda case: check(case)))()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_described(
    mode: GenerationMode, operations: list[Any], callers: dict[str, dict[str, str]]
) -> None:
    """The API never accepts data that do not fit the description."""
    seen: Counter[int] = Counter()
    reached: dict[str, set[int]] = {}

    def check(case: Any) -> None:
        for name, headers in callers.items():
            answer = case.call(headers=headers)
            assert (answer.status_code == 401) == (name in NOBODY), f"{name}: {answer.status_code} {case!r}"
            case.validate_response(answer, checks=[*DESCRIBED, checks.negative_data_rejection], headers=headers)
            seen[answer.status_code] += 1
            reached.setdefault(case.operation.label, set()).add(answer.status_code)

    # An operation without parameters cannot be called wrongly.
    taking = [o for o in operations if mode is GenerationMode.POSITIVE or o.body or list(o.iter_parameters())]
    assert len(operations) - len(taking) <= 1
    for operation in taking:
        each(operation.as_strategy(generation_mode=mode), max(1, EXAMPLES // 20), check)
    assert len(reached) == len(taking)
    if mode is GenerationMode.NEGATIVE:
        assert {400, 401, 404, 422} <= set(seen), seen
    else:
        assert {200, 401, 403, 404, 409, 422} <= set(seen), seen
        assert seen[404] < (seen.total() - seen[401]) / 3, f"most cases name what exists: {seen}"
        # A few cases may by chance name nothing that exists: words from the source of imported modules change them.
        for operation, count in itertools.product(taking, (EXAMPLES // 3, 4 * EXAMPLES)):
            if not reached[operation.label] & {200, 403, 409}:
                each(operation.as_strategy(generation_mode=mode), count, check)
        unmet = {label: statuses for label, statuses in reached.items() if not statuses & {200, 403, 409}}
        assert not unmet, unmet


def test_an_invalid_body_is_refused(operations: list[Any], callers: dict[str, dict[str, str]]) -> None:
    """Broken JSON, a body that is no object, and an invalid value in the place of each value of a valid body."""
    headers = callers["managing"] | {"Content-Type": "application/json"}

    def check(case: Any) -> None:
        fields = case.operation.body[0].definition["schema"].get("properties", {})
        spoilt = [
            json.dumps(case.body | {name: "@@"}).replace('"@@"', value).encode()
            for name, value in itertools.product(fields, NO_VALUE)
        ]
        for content in (*NO_OBJECT, *spoilt):
            answer = case.call(data=content, headers=headers)
            case.validate_response(answer, checks=DESCRIBED, headers=headers)
            assert answer.status_code in (400, 422), f"{answer.status_code} {case.operation.label} {content[:300]!r}"

    for operation in operations:
        if operation.body and operation.body[0].media_type == "application/json":
            each(operation.as_strategy(), 1, check)


def test_a_request_without_a_token_changes_and_reveals_nothing(
    operations: list[Any], known: dict[str, list[Any]]
) -> None:
    """Case 17: the paths are read from the API itself, so that a new path is included; unknown paths too."""
    before = [model.objects.count() for model in (Release, Deployment, Evidence)]
    for operation in operations:
        path = operation.path.removeprefix("/api/v1").format(**{name: values[0] for name, values in known.items()})
        assert ask(operation.method, path, {}, token=None).status_code == 401, operation.label
    for path in ("/nothing", "/releases/1/no_such_verb", "/releases/", "/ci/deployments/1/../2"):
        assert ask("get", path, token=None).status_code == 401, path
    assert [model.objects.count() for model in (Release, Deployment, Evidence)] == before

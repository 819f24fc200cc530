"""Idempotency-Key: a write happens once and is answered the same; pages are stable; calls are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from audit.clock import now
from releases.models import Deployment, Evidence, IdempotencyKey

from .conftest import ask, token_for
from .test_api import JUNIT, deployment_body, report


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_repeated_key_returns_the_same_answer_and_operates_once(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    world.evidence("1.3.0")
    first = call("post", "/ci/deployments", deployment_body("development"), **keyed("build-1"))
    again = call("post", "/ci/deployments", deployment_body("development"), **keyed("build-1"))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content and again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Deployment.objects.count() == 1
    assert call("post", "/ci/deployments", deployment_body("development"), **keyed("build-2")).status_code == 409, (
        "another key operates again"
    )


def test_a_refusal_is_kept_under_its_key(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    first = call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    world.evidence("1.3.0")
    again = call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    assert (first.status_code, again.status_code) == (409, 409)
    assert first.content == again.content and again["content-type"] == "application/problem+json"


def test_a_key_with_another_body_is_refused(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    for path, body in (
        ("/ci/deployments", deployment_body("staging")),
        ("/deployments", deployment_body("development")),
    ):
        refused = call("post", path, body, **keyed("k"))
        assert refused.status_code == 422 and refused.json()["type"] == "about:blank#idempotency_key_reused", path
    assert IdempotencyKey.objects.count() == 1


def test_a_form_is_equal_whatever_its_boundary(world: Any, call: Callable[..., Any]) -> None:
    first = call("post", "/evidence", report(world), **keyed("k"))
    again = call("post", "/evidence", report(world), **keyed("k"))
    assert first.status_code == 200 and again["Idempotency-Replayed"] == "true"
    other = report(world, file=SimpleUploadedFile("junit.xml", JUNIT + b"\n"))
    assert call("post", "/evidence", other, **keyed("k")).status_code == 422
    assert Evidence.objects.count() == 1


def test_keys_belong_to_an_account_and_have_a_valid_form(world: Any, call: Callable[..., Any], managing: str) -> None:
    world.planned()
    mine = call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    other = ask("post", "/ci/deployments", deployment_body("staging"), token=managing, **keyed("k"))
    assert mine.status_code == 409 and other.json()["type"] == "about:blank#not_permitted", (
        "the other account's own call"
    )
    for key in ("", "x" * 201, "schlüssel"):
        assert call("post", "/ci/deployments", deployment_body("development"), **keyed(key)).status_code == 422, key


def test_an_unfinished_call_is_not_repeated(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    world.evidence("1.3.0")
    call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    row = IdempotencyKey.objects.get()
    row.status, row.body = None, ""
    row.save()
    waiting = call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
    assert waiting.status_code == 409 and waiting.json()["type"] == "about:blank#in_progress"
    assert waiting["Retry-After"] == "1"
    row.at = now() - timedelta(hours=1)
    row.save()
    assert "new key" in call("post", "/ci/deployments", deployment_body("development"), **keyed("k")).json()["detail"]
    row.at = now() - timedelta(days=8)
    row.save()
    assert (
        call("post", "/ci/deployments", deployment_body("development"), **keyed("k"))
        .json()["type"]
        .endswith("not_possible")
    ), "forgotten"


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Call a function in several threads at once, each with its own connection."""
    found: list[Any] = [None] * count
    start = threading.Barrier(count)

    def one(place: int) -> None:
        start.wait()
        try:
            found[place] = call(place)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_concurrent_calls_with_one_key_operate_once(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    world.evidence("1.3.0")
    answers = together(8, lambda _place: call("post", "/ci/deployments", deployment_body("development"), **keyed("k")))
    good = [answer for answer in answers if answer.status_code == 200]
    assert good and len({answer.content for answer in good}) == 1
    assert len([answer for answer in good if "Idempotency-Replayed" not in answer]) == 1
    assert all(a.status_code == 409 and a.json()["type"].endswith("in_progress") for a in answers if a not in good)
    assert Deployment.objects.count() == 1


def test_concurrent_uploads_of_one_file_count_once(world: Any, call: Callable[..., Any]) -> None:
    commit = world.built.commits["v1.3.0"]

    def once(place: int) -> Any:
        return call("post", "/evidence", report(world, commit=commit, file=SimpleUploadedFile("j", JUNIT)))

    answers = together(6, once)
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({row["id"] for answer in answers for row in answer.json()["items"]}) == Evidence.objects.count() == 6
    assert Evidence.objects.filter(superseded_by=None).count() == 1


def test_pages_are_stable_while_rows_are_added(world: Any, call: Callable[..., Any]) -> None:
    def upload(place: int) -> int:
        file = SimpleUploadedFile("j", JUNIT + b" " * place)
        return int(call("post", "/evidence", report(world, file=file)).json()["items"][0]["id"])

    made = [upload(place) for place in range(5)]
    seen, path = [], "/evidence?limit=2"
    first = call("get", path).json()
    late = upload(9)
    page = first
    while True:
        seen += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        page = call("get", f"{path}&cursor={page['next']}").json()
    assert seen == made[::-1] and late not in seen
    for cursor in ("x", "ZXZpZGVuY2U8LTE", first["next"][:-2], "%00"):
        assert call("get", f"/evidence?cursor={cursor}").status_code == 422, cursor
    assert call("get", f"/deployments?cursor={first['next']}").status_code == 422, "another list's"
    for limit in (0, 101, "many"):
        assert call("get", f"/evidence?limit={limit}").status_code == 422, limit


def test_calls_are_counted_per_token(world: Any, call: Callable[..., Any], settings: Any) -> None:
    settings.API_RATE_LIMIT = "3/h"
    while 3600 - time.time() % 3600 < 10:
        time.sleep(1)
    mine, other = (token_for(world, world.people["ci"]) for _ in range(2))
    assert [ask("get", "/releases", token=mine).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask("get", "/releases", token=mine)
    assert refused.json()["type"] == "about:blank#too_many_requests" and 1 <= int(refused["Retry-After"]) <= 3600
    assert ask("get", "/releases", token=other).status_code == 200, "another token is not held up"


@pytest.mark.parametrize("location", ["redis://127.0.0.1:1/0", "redis://192.0.2.1:6379/0"])
def test_the_api_works_without_redis(world: Any, settings: Any, location: str) -> None:
    """Neither a refused connection nor an unanswered one makes a call fail or every call slow."""
    settings.API_RATE_LIMIT = "1/h"
    settings.CACHES = {**settings.CACHES, "rates": settings.CACHES["rates"] | {"LOCATION": location}}
    token = token_for(world, world.people["ci"])
    began = time.monotonic()
    assert [ask("get", "/releases", token=token).status_code for _ in range(5)] == [200] * 5
    assert time.monotonic() - began < 4


def test_the_api_asks_for_a_token_before_it_limits_the_rate(world: Any) -> None:
    assert Client().get("/api/v1/releases").status_code == 401

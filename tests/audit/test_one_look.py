"""A look reads once; an operation reads for itself, even one that is opened in the middle of a look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from audit.actor import acting
from audit.clock import database_time
from audit.one_look import looking, once_a_look, one_answer, one_look, remember
from audit.operation import operation
from environments.access import counting_roles, roles_of
from environments.actors import ActorMiddleware
from environments.models import AccessGrant, Account, Environment
from tests.audit.test_operation import COMMAND
from tests.releases.gates.asking import alter


def test_a_look_reads_once_for_the_same_arguments_and_forgets() -> None:
    asked: list[tuple[Any, ...]] = []

    @once_a_look
    def read(*keys: int, also: int = 0) -> int:
        asked.append((*keys, also))
        return len(asked)

    assert [read(1), read(1)] == [1, 2] and not looking()
    with one_look():
        assert looking()
        assert [read(1), read(1), read(2), read(1, also=3), read(1, also=3)] == [3, 3, 4, 5, 5]
        remember(read, 77, 9)
        assert read(9) == 77
    with one_look():
        assert read(1) == 6


def test_an_operation_keeps_out_of_the_look_around_it(database: str, people: dict[str, Any]) -> None:
    member: Account = people["committee_a"]
    place = Environment.objects.get(slug="production")
    with acting(COMMAND), one_look():
        seen, moment = roles_of(member, place, None), database_time()
        assert "committee" in seen and database_time() == moment
        grant = AccessGrant.objects.get(account=member, role="committee")
        alter(grant, until=grant.starts_at + timedelta(microseconds=1))
        assert roles_of(member, place, None) == seen
        with operation("release:plan", (Environment, place.pk)):
            assert not looking() and "committee" not in roles_of(member, place, None)
            assert "committee" not in counting_roles(member, place.pk, application=None)
            assert database_time() > moment
        assert looking() and roles_of(member, place, None) == seen


@pytest.mark.parametrize("method", ["get", "head", "post", "put"])
def test_a_request_that_may_change_something_is_no_look(method: str, people: dict[str, Any]) -> None:
    seen: list[bool] = []
    request = getattr(RequestFactory(), method)("/admin/")
    request.user, request.session = people["manager"], {}

    def answer(request: Any) -> HttpResponse:
        seen.append(looking())
        return HttpResponse()

    ActorMiddleware(answer)(request)
    assert seen == [method in ("get", "head")]
    assert not looking()


def test_an_answer_is_worked_out_from_one_reading_and_the_next_from_another() -> None:
    asked: list[int] = []

    @once_a_look
    def read(key: int) -> int:
        asked.append(key)
        return len(asked)

    @one_answer
    def inner() -> int:
        return read(1)

    @one_answer
    def outer() -> list[int]:
        return [read(1), inner(), read(2)]

    assert [outer(), outer(), [inner(), inner()]] == [[1, 1, 2], [3, 3, 4], [5, 6]]
    with one_look():
        assert [outer(), inner(), outer()] == [[7, 7, 8], 7, [7, 7, 8]]


def test_an_operation_keeps_out_of_the_answer_around_it(database: str, people: dict[str, Any]) -> None:
    place = Environment.objects.get(slug="production")

    @one_answer
    def answer() -> None:
        assert not looking()
        moment = database_time()
        with acting(COMMAND), operation("release:plan", (Environment, place.pk)):
            assert database_time() > moment
        assert database_time() == moment

    answer()

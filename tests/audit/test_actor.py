"""The actor is set inside `acting` and nowhere else."""

from __future__ import annotations

import threading

import pytest

from audit.actor import Actor, MissingActor, acting, current, name_of

SATO = Actor(account_id=7, name="佐藤 花子", kind="person", channel="admin")
WORKER = Actor(account_id=None, name="production-1", kind="worker", channel="worker")


def test_without_an_actor_there_is_an_error() -> None:
    with pytest.raises(MissingActor):
        current()


def test_the_innermost_actor_counts_and_the_outer_one_returns() -> None:
    with acting(SATO):
        with pytest.raises(RuntimeError), acting(WORKER):
            assert current() is WORKER
            raise RuntimeError
        assert current() is SATO
    with pytest.raises(MissingActor):
        current()


def test_another_thread_has_no_part_in_it() -> None:
    seen: list[str] = []

    def look() -> None:
        try:
            current()
        except MissingActor:
            seen.append("nobody")

    with acting(SATO):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == ["nobody"]


def test_the_label_names_kind_account_and_name() -> None:
    assert SATO.label == "person:7:佐藤 花子"
    assert WORKER.label == "worker:production-1"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (SATO.label, "佐藤 花子"),
        ("person:7:佐藤:花子", "佐藤:花子"),
        ("service:3:CI", "CI"),
        ("worker:host:41", "host:41"),
        ("command:migrate", "migrate"),
        ("worker:41", "41"),
        ("", ""),
    ],
)
def test_the_printed_name_is_read_from_a_label(label: str, name: str) -> None:
    assert name_of(label) == name

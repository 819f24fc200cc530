"""The cache."""

import threading

import pytest
from dataset_service import cache as module
from dataset_service.cache import KEEP, Cache, CacheBusy


def test_it_loads_once_while_fresh_and_again_after() -> None:
    now, loads = [0.0], []
    cache = Cache(5, lambda: now[0])
    for at in (0.0, 4.9, 5.1):
        now[0] = at
        assert cache.lookup("a", lambda: loads.append(1) or len(loads)) == len(loads)
    assert len(loads) == 2


def test_it_forgets() -> None:
    cache = Cache(60)
    cache.lookup("a", lambda: 1)
    cache.forget("a")
    assert cache.lookup("a", lambda: 2) == 2


def test_it_keeps_what_is_popular() -> None:
    cache = Cache(60)
    for number in range(KEEP + 1):
        for _ in range(2 if number == 0 else 1):
            cache.lookup(number, lambda: "first")
    assert cache.lookup(0, lambda: "second") == "first"
    assert cache.lookup(KEEP, lambda: "second") == "second"


def test_it_compacts() -> None:
    cache = Cache(60)
    for number in range(10):
        cache.lookup(number, lambda: 1)
    cache.compact()
    assert cache._asked == [5, 6, 7, 8, 9]


def test_it_gives_up_on_a_lock_that_another_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.01)
    cache = Cache(60)
    with cache._lock, pytest.raises(CacheBusy):
        cache.compact()


def test_it_serves_many_threads() -> None:
    cache, seen = Cache(60), []
    threads = [threading.Thread(target=lambda: seen.append(cache.lookup("a", lambda: 1))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20

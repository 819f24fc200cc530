"""The cache."""

from dataset_service.cache import KEEP, Cache


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
    cache.forget("never there")
    assert cache.lookup("a", lambda: 2) == 2


def test_it_drops_what_was_not_asked_for_longest() -> None:
    cache = Cache(60)
    for number in range(KEEP):
        cache.lookup(number, lambda: "first")
    cache.lookup(0, lambda: "second")
    cache.lookup("one more", lambda: "first")
    assert cache.lookup(0, lambda: "third") == "first"
    assert cache.lookup(1, lambda: "third") == "third"

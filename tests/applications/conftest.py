"""Fixtures: Ringi as a new user installs it, one application at a time; and the table printed at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from environments.targets.service_proof import running_service
from releases.step_types.service_control import stop_service
from tests.applications.organisation import Application, Organisation, running
from tests.chaos.tree import copied
from tests.containers import Containers, containers

INSTALLED = Path(__file__).resolve().parents[2] / "var" / "applications"


@pytest.fixture(scope="session")
def installed() -> Path:
    """Return the folder of what `make applications` installs."""
    assert (INSTALLED / ".installed").exists(), "run `make applications`, which installs what is released"
    return INSTALLED


@pytest.fixture(scope="session")
def containers_here() -> Iterator[Containers | str]:
    """Return a registry with a podman, or the reason why there is none."""
    with ExitStack() as open_:
        found: Containers | str
        try:
            found = open_.enter_context(containers())
        except RuntimeError as lacking:
            found = str(lacking)
        yield found


@pytest.fixture(scope="session")
def organisation(
    tmp_path_factory: pytest.TempPathFactory, containers_here: Containers | str
) -> Iterator[Callable[[Application], Organisation]]:
    """Return a function: an organisation that releases an application, on `make up` in a copy of the tree. All
    applications are released by the same people under one procedure, each by a deployment process of its own.
    """
    folder = tmp_path_factory.mktemp("organisation")
    tree = copied(folder / "tree")
    made: list[Organisation] = []
    more = {} if isinstance(containers_here, str) else {"PATH": containers_here.path, "RINGI_LOCAL_CONTAINERS": "1"}
    with running(tree, folder / "up.log", **more) as (address, username, invitation):

        def begin(what: Application) -> Organisation:
            state = folder / what.slug
            state.mkdir()
            made.append(Organisation(state, address, what))
            made[-1].set_up(username, invitation, made[0] if made[:-1] else None)
            return made[-1]

        yield begin
        for place in (place for one in made for places in one.copies.values() for place in places):
            if found := running_service(place.root):
                stop_service(found, 5, lambda: None)
    tree.remove()
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests recorded: application, operation, observation."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, ())]
    rows = [value for report in reports for name, value in report.user_properties if name == "row"]
    if rows:
        terminalreporter.section("applications")
    for application, what, seen in rows:
        terminalreporter.write_line(f"{application:<10} {what:<58} {seen}")

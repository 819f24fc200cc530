"""A start passes only when the started process serves, or when the service itself reports the wanted version."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.development.ports import free_port
from environments.targets.base import NotProven, Probe, StepFailed, TargetSpec
from environments.targets.examine import examine
from environments.targets.processes import family, holders, listeners, start_time
from environments.targets.service_proof import answers, is_version, reported, running_service
from environments.targets.service_settings import VersionReport
from environments.targets.target import journal_lines
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target, wait_for

# A process without any tie to its parent holds the port; the parent lives on.
ORPHAN = """
import http.server, os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"1.1.0")
    http.server.HTTPServer(("127.0.0.1", PORT), Answer).serve_forever()
if not ENDS:
    time.sleep(60)
"""


@pytest.fixture
def target(bare_target: Target) -> Target:
    """A target without a database, with the new code and its configuration."""
    bare_target.step("code_deploy", bare_target.context("1/1/x"))
    bare_target.step("configuration_update", bare_target.context("1/2/x"))
    return bare_target


@pytest.fixture(params=["here", "there"])
def anywhere(target: Target, request: pytest.FixtureRequest) -> Target:
    """The same target on this machine, and over ssh on a host."""
    if request.param == "there":
        target.move_to(request.getfixturevalue("host"))
    return target


def with_service(target: Target, **service: object) -> None:
    settings = dict(target.spec.settings) | {"service": dict(target.spec.settings["service"]) | service}
    target.spec = replace(target.spec, settings=settings)


def url(target: Target) -> str:
    return str(target.spec.settings["urls"]["base"]) + "/"


def restart(target: Target, key: str = "1/3/x", **changes: Any) -> dict[str, Any]:
    return target.step("service_control", target.context(key, **changes), action="restart")


def looked(target: Target, key: str = "1/3/x", action: str = "restart") -> tuple[Probe, dict[str, Any]]:
    known = by_name("service_control")
    return known.probe(target.context(key), known.parameters(action=action))


@contextmanager
def by_hand(target: Target) -> Iterator[int]:
    """The service of the deployed tree, started by hand as before Ringi; its process."""
    root = target.spec.root
    command = [sys.executable, str(root / "current" / "service.py"), str(root / "shared" / "config.env")]
    environment = os.environ | {"RINGI_TARGET_ROOT": str(root)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(url(target)))
        yield process.pid
    finally:
        process.kill()
        process.wait()


def orphaned(target: Target, *, ends: bool) -> None:
    """Let the service hold its port in a process that has cut all ties to the started one."""
    port = url(target).rsplit(":", 1)[1].strip("/")
    code = ORPHAN.replace("PORT", port).replace("ENDS", str(ends))
    with_service(target, start=[sys.executable, "-c", code])


@pytest.fixture
def no_orphans(target: Target) -> Iterator[None]:
    """A process that still holds the target's port is ended after the test."""
    yield
    port = int(url(target).rsplit(":", 1)[1].strip("/"))
    said = holders(listeners(port))
    if said:
        os.kill(int(said.split()[1]), 9)


def test_an_old_process_on_the_port_is_no_start(anywhere: Target) -> None:
    """It would answer every check, while the new version has died with “address already in use”."""
    with by_hand(anywhere) as pid:
        with pytest.raises(
            StepFailed, match=rf"was not started.*port \d+ is used by process {pid} \(python\S* service.py\)"
        ):
            restart(anywhere)
        assert start_time(pid) is not None, "it is not ended either: Ringi did not start it"
    assert not journal_lines(anywhere.here, effect="service_control:started")
    assert restart(anywhere)["proved_by"] == "port"


def test_a_stop_fails_while_a_process_still_serves(anywhere: Target) -> None:
    with by_hand(anywhere) as pid:
        with pytest.raises(StepFailed, match=f"still answers after the stop.*process {pid}"):
            anywhere.step("service_control", anywhere.context("1/3/x"), action="stop")
        assert not journal_lines(anywhere.here, effect="service_control:stopped")
        assert looked(anywhere, action="stop")[0] is Probe.NOT_DONE
    facts = anywhere.step("service_control", anywhere.context("1/3/x"), action="stop")
    assert facts == {"stopped": None, "nothing_to_stop": True}
    assert looked(anywhere, action="stop")[0] is Probe.DONE


def test_the_targets_own_command_ends_processes_that_ringi_did_not_start(target: Target) -> None:
    with by_hand(target) as pid:
        with_service(target, stop=[sys.executable, "-c", f"import os; os.kill({pid}, 15)"])
        facts = restart(target)
    assert facts["proved_by"] == "port" and "nothing_to_stop" not in facts


@pytest.mark.usefixtures("no_orphans")
def test_a_child_of_the_started_process_may_hold_the_port(anywhere: Target) -> None:
    program = f"{sys.executable} {{tree}}/service.py {{config}} & wait"
    with_service(anywhere, start=["/bin/sh", "-c", program])
    facts = restart(anywhere)
    assert facts["proved_by"] == "port" and len(family(facts["pid"])) == 2
    assert looked(anywhere)[0] is Probe.DONE


@pytest.mark.usefixtures("no_orphans")
def test_a_port_held_by_another_process_is_no_proof(target: Target) -> None:
    orphaned(target, ends=False)
    with_service(target, ready={"url": url(target), "seconds": 1})
    with pytest.raises(StepFailed, match=r"is used by process \d+ .*, not by the started process \d+ "):
        restart(target)
    assert answers(url(target)), "it answers all the same"


@pytest.mark.usefixtures("no_orphans")
def test_a_service_that_forks_away_is_unknown_until_it_reports_its_version(target: Target) -> None:
    orphaned(target, ends=True)
    with pytest.raises(NotProven, match=r"service\.version"):
        restart(target)
    assert looked(target)[0] is Probe.UNKNOWN
    os.kill(int(holders(listeners(int(url(target).rsplit(":", 1)[1].strip("/")))).split()[1]), 9)
    with_service(target, version={"url": url(target)})
    assert restart(target, "1/4/x")["proved_by"] == "version"
    assert looked(target, "1/4/x") == (Probe.DONE, looked(target, "1/4/x")[1])


def test_a_start_without_port_or_version_needs_a_person(anywhere: Target) -> None:
    with_service(anywhere, ready=None)
    with pytest.raises(NotProven, match=r"service\.without_port") as raised:
        restart(anywhere)
    assert raised.value.facts["pid"] and looked(anywhere)[0] is Probe.UNKNOWN
    with_service(anywhere, without_port=True)
    assert restart(anywhere, "1/4/x")["proved_by"] == "process"


def test_a_port_is_enough_without_http(target: Target) -> None:
    port = int(url(target).rsplit(":", 1)[1].strip("/"))
    with_service(target, ready=None, port=port)
    assert restart(target)["proved_by"] == "port"


def test_the_reported_version_must_be_the_wanted_one(anywhere: Target) -> None:
    report = {"url": url(anywhere)}
    with_service(anywhere, version=report)
    assert restart(anywhere)["proved_by"] == "version"
    other = replace(anywhere.versions.new, version="2.0.0", tag="v2.0.0", commit="f" * 40)
    with_service(anywhere, ready={"url": url(anywhere), "seconds": 0.5})
    with pytest.raises(StepFailed, match="reports version “1.1.0”, not “2.0.0”"):
        restart(anywhere, "1/4/x", wanted=other)


@pytest.mark.parametrize(
    ("code", "proved"), [("exit(0)", "version"), ("exit(3)", ""), ("import time; time.sleep(60)", "")]
)
def test_a_version_reported_before_the_start_needs_a_successful_start(target: Target, code: str, proved: str) -> None:
    """Only the configuration changes: a process left behind reports the same version as a reloaded one."""
    with by_hand(target):
        ready = {"url": url(target), "seconds": 1}
        with_service(target, start=[sys.executable, "-c", code], version={"url": url(target)}, ready=ready)
        if proved:
            assert restart(target)["proved_by"] == proved
        else:
            with pytest.raises(StepFailed, match="exit code 3|is used by process"):
                restart(target)


def test_a_stop_command_may_fail_only_where_nothing_serves(target: Target) -> None:
    with_service(target, stop=[sys.executable, "-c", "exit(7)"])
    assert restart(target)["proved_by"] == "port"
    target.step("service_control", target.context("1/4/x"), action="stop")
    with by_hand(target), pytest.raises(StepFailed, match="exit code 7"):
        restart(target, "1/5/x")


def test_a_service_that_answers_once_and_dies_is_no_start(target: Target) -> None:
    """It answers the first request, and ends before the second."""
    code = (
        "import http.server, threading, os; server = http.server.HTTPServer(('127.0.0.1', PORT),"
        " http.server.SimpleHTTPRequestHandler); threading.Timer(1, os._exit, [3]).start(); server.serve_forever()"
    )
    port = url(target).rsplit(":", 1)[1].strip("/")
    start = [sys.executable, "-c", code.replace("PORT", port)]
    with_service(target, start=start, ready={"url": url(target), "seconds": 5}, stable_seconds=3)
    with pytest.raises(StepFailed, match="ended while it was starting"):
        restart(target)


@pytest.mark.parametrize("asked", ["ready", "version"])
def test_a_redirect_is_no_answer_of_the_service(anywhere: Target, asked: str) -> None:
    """The page of sign-in, or the old version beside it, answers 200, also with the wanted version."""

    class SignIn(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"1.1.0")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SignIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = (
            "import http.server\nclass Away(http.server.BaseHTTPRequestHandler):\n def do_GET(self):\n"
            f"  self.send_response(302)\n  self.send_header('Location', 'http://127.0.0.1:{server.server_port}/')\n"
            "  self.end_headers()\nhttp.server.HTTPServer(('127.0.0.1', PORT), Away).serve_forever()"
        )
        start = [sys.executable, "-c", code.replace("PORT", url(anywhere).rsplit(":", 1)[1].strip("/"))]
        ready = {"url": url(anywhere), "seconds": 1}
        port = int(url(anywhere).rsplit(":", 1)[1].strip("/"))
        own = {"ready": ready} if asked == "ready" else {"ready": None, "port": port, "version": {"url": url(anywhere)}}
        with_service(anywhere, start=start, **own)
        with pytest.raises(StepFailed, match="does not answer"):
            restart(anywhere, deadline_seconds=4)
        found = {one.key: one.result for one in examine(anywhere.spec)}
        assert found["ready"] == ("failed" if asked == "ready" else "unknown")
        server.shutdown()


def test_a_process_that_died_or_was_replaced_later_is_found(anywhere: Target) -> None:
    pid = restart(anywhere)["pid"]
    os.kill(pid, 9)
    wait_for(lambda: running_service(anywhere.spec.root) is None)
    result, facts = looked(anywhere)
    assert result is Probe.NOT_DONE and "has ended" in facts["why"]
    with by_hand(anywhere):
        assert looked(anywhere)[0] is Probe.NOT_DONE


def test_an_unreadable_process_is_named_with_its_user() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        found = listeners(server.server_port, "127.0.0.1")
        assert len(found) == 1 and f"process {os.getpid()}" in holders(found)
        assert not listeners(server.server_port, "127.0.0.2")
        strange = replace(found[0], inode=1)
        assert "of the user “" in holders([strange])


def test_a_free_port_has_no_listener() -> None:
    assert listeners(free_port()) == []


@pytest.mark.parametrize(
    ("stated", "same"),
    [("1.2.3", True), ("v1.2.3", True), ("ABCDEF1", True), ("abcdef", False), ("1.2", False), ("", False)],
)
def test_a_version_is_recognised_by_number_tag_or_commit(stated: str, same: bool) -> None:
    assert is_version(stated, {"version": "1.2.3", "tag": "v1.2.3", "commit": "abcdef1" + "0" * 33}) is same
    assert not is_version(stated, {})


@pytest.mark.parametrize(
    ("report", "stated"),
    [
        ({"json_path": "build.version"}, "1.1.0"),
        ({"pattern": r'"version": "([^"]+)"'}, "1.1.0"),
        ({"json_path": "build.none"}, "contains no version"),
        ({"pattern": "release-(.*)"}, "contains no version"),
    ],
)
def test_a_report_is_read_by_path_or_pattern(tmp_path: Path, report: dict[str, str], stated: str) -> None:
    page = [sys.executable, "-c", 'print(\'{"build": {"version": "1.1.0"}}\')']
    spec = TargetSpec("a", "e", tmp_path)
    asked = VersionReport.model_validate({"command": page} | report)
    if stated == "1.1.0":
        assert reported(spec, asked) == stated
    else:
        with pytest.raises(StepFailed, match=stated):
            reported(spec, asked)

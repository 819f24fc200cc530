"""Hostile arguments are inert or refused, hostile addresses are never contacted: one row each, with the result."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.connectivity import addresses
from environments.targets.base import StepFailed
from environments.targets.configuration_file import Kept, render_configuration
from environments.targets.target import Layout, filled
from releases.step_types import by_name
from releases.step_types.http_call import HttpCallParameters
from tests.releases.step_types.conftest import Target

# Arguments that a shell, a template, a terminal, a database or a program's options could interpret. `{canary}` is
# a file that no program may make.
INERT = (
    "; touch {canary}",
    "&& touch {canary}",
    "|| touch {canary}",
    "| tee {canary}",
    "& touch {canary} &",
    "$(touch {canary})",
    "`touch {canary}`",
    "${{IFS}}touch${{IFS}}{canary}",
    "> {canary}",
    ">> {canary}",
    "2>{canary}",
    "<(touch {canary})",
    "'; touch {canary}; '",
    '"; touch {canary}; "',
    "\\; touch {canary}",
    "\ntouch {canary}\n",
    "\r\ntouch {canary}\r\n",
    "x\ttouch\t{canary}",
    "*",
    "~root",
    "$HOME",
    "%PATH%",
    "-c touch {canary}",
    "--upload-pack=touch {canary}",
    "-oProxyCommand=touch {canary}",
    "$(</etc/passwd)",
    "'; DROP TABLE dataset; --",
    "{{tree.__class__}}",
    "{{root!r}}",
    "%(secret)s",
    "%n%n%n%s%s",
    "\x1b]0;title\x07\x1b[2J",
    "\u202e\u2066evil\u2069",
    "",
    "ＡＢＣ；ｔｏｕｃｈ　{canary}",
)
PLAN = "http://h.example.org/"
# Texts that a plan or an option may not contain: the reader of each, and the text.
REFUSED: tuple[tuple[Any, dict[str, Any]], ...] = (
    (by_name("command").parameters, {"argv": ()}),
    (by_name("command").parameters, {"argv": "touch {canary}"}),
    (by_name("command").parameters, {"argv": ("touch\x00/etc", "x")}),
    (by_name("command").parameters, {"argv": ("true",), "shell": True}),
    (by_name("command").parameters, {"argv": ("true",), "env": {"LD_PRELOAD": "/tmp/x.so"}}),
    (by_name("command").parameters, {"argv": ({"a": 1},)}),
    (by_name("command").parameters, {"argv": ("true",), "seconds": -1}),
    (HttpCallParameters, {"url": PLAN, "headers": {"X-A": "a\r\nX-B: b"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"X-A": "a\n"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"X-A\r\nX-B": "a"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"X A: b": "a"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"Host": "inside.example.org"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"Content-Length": "0"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"transfer-encoding": "chunked"}}),
    (HttpCallParameters, {"url": PLAN, "headers": {"X-A": "1", "x-a": "2"}}),
    (HttpCallParameters, {"url": PLAN, "method": "GET / HTTP/1.1\r\nHost: a\r\n\r\nDELETE"}),
    (HttpCallParameters, {"url": PLAN, "idempotency_header": "Connection"}),
    (Kept.model_validate, {"obj": {"path": "../../etc/cron.d/x"}}),
    (Kept.model_validate, {"obj": {"path": "/etc/passwd"}}),
    (Kept.model_validate, {"obj": {"format": "command", "write": ["sh\x00"], "digest": ["true"]}}),
)
KEYS = ("A=1\nB", "A B", "$(touch x)", "A\x00", "", "1A", "A-B", "Ａ")


@pytest.mark.parametrize("argument", INERT, ids=range(len(INERT)))
def test_a_hostile_argument_reaches_the_program_unchanged_and_does_nothing(bare_target: Target, argument: str) -> None:
    canary, seen = bare_target.spec.root / "canary", bare_target.spec.root / "seen"
    text = argument.format(canary=canary)
    echo = f"import json, sys; open({str(seen)!r}, 'w').write(json.dumps(sys.argv[1:]))"
    bare_target.step("command", bare_target.context(), argv=(sys.executable, "-c", echo, text, "last"))
    assert json.loads(seen.read_text()) == [text, "last"]
    assert not canary.exists()
    entries = {entry.name for entry in Path.cwd().iterdir()}
    assert not any("canary" in name for name in entries)


@pytest.mark.parametrize(("reads", "given"), REFUSED, ids=range(len(REFUSED)))
def test_a_hostile_parameter_is_refused(reads: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        reads(**given)


@pytest.mark.parametrize("key", KEYS)
def test_a_hostile_key_is_no_configuration_key(key: str) -> None:
    with pytest.raises(StepFailed, match="configuration key"):
        render_configuration({key: "x"})


def test_a_placeholder_is_filled_once_and_from_the_target_alone(bare_target: Target) -> None:
    given = ["{root}", "{root}/{tree}", "{secret}", "{root.parent}", "{{root}}", "{config}{config}"]
    layout = Layout(bare_target.spec.root)
    root, tree, config = layout.root, layout.current, layout.configuration
    wanted = [f"{root}", f"{root}/{tree}", "{secret}", "{root.parent}", f"{{{root}}}", f"{config}{config}"]
    assert filled(given, bare_target.spec) == wanted


# Addresses that a plan may not name. `{port}` is a server on this machine that must not be reached by them.
NO_ADDRESS = (
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "javascript:alert(1)",
    "//127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///hook",
    "http://user:password@127.0.0.1:{port}/",
    "http://api.example.org@127.0.0.1:{port}/",
    "http://api.example.org%40127.0.0.1:{port}/",
    "http://api.example.org\\@127.0.0.1:{port}/",
    "http://api.example.org#@127.0.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://0:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://[::ffff:127.0.0.1%25lo]:{port}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://127.0.0.1:{port}/ HTTP/1.1\r\nX: y",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}:80/",
    "http://127.0.0.1:99999/",
    "http://-a.example.org/",
    "HTTP://127.0.0.1:{port}/",
    "",
)
# Addresses that a plan may name, and the target has not listed; private ones in every usual notation.
NOT_LISTED = (
    "http://localhost:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.0.0.1:1/",
    "http://[::1]:{port}/",
    "http://0.0.0.0:{port}/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "https://127.0.0.1/",
    "http://api.example.org.evil.example/",
    "http://evil-api.example.org/",
)
# Addresses to which a listed name could resolve; none of them is listed as a network.
RESOLVED = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.20.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
)


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_a_disguised_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        HttpCallParameters(url=url.format(port=8080))


@pytest.mark.parametrize("url", NOT_LISTED)
def test_an_unlisted_address_is_refused(bare_target: Target, url: str) -> None:
    bare_target.spec.settings["http_hosts"].append("api.example.org")
    with pytest.raises(StepFailed, match=r"is not among the allowed outbound hosts of the target \(“http_hosts”\)"):
        _call(bare_target, url.format(port=bare_target.receiver.port))
    assert bare_target.receiver.taken == []


@pytest.mark.parametrize("address", RESOLVED)
@pytest.mark.parametrize("beside", [[], ["203.0.114.9"]], ids=["alone", "beside a public one"])
def test_a_listed_name_that_resolves_to_a_private_address_is_refused(
    bare_target: Target, monkeypatch: pytest.MonkeyPatch, address: str, beside: list[str]
) -> None:
    """An attacker controls the resolver: it answers with this address, alone or after a public one."""
    port = bare_target.receiver.port
    bare_target.spec.settings["http_hosts"] = [f"api.example.org:{port}"]

    def answering(host: str, port: int, **options: Any) -> list[Any]:
        assert host == "api.example.org"
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in [*beside, address]]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", answering)
    monkeypatch.setattr(socket.socket, "connect", lambda *given: pytest.fail(f"connected to {given[1:]}"))
    with pytest.raises(StepFailed, match="never asked|does not list"):
        _call(bare_target, f"http://api.example.org:{port}/")
    assert bare_target.receiver.taken == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(bare_target: Target, status: int) -> None:
    bare_target.receiver.status = status
    bare_target.receiver.headers = {"Location": bare_target.receiver.url("/inside"), "Refresh": "0; url=/inside"}
    with pytest.raises(StepFailed, match=str(status)):
        _call(bare_target, bare_target.receiver.url())
    assert [taken.path for taken in bare_target.receiver.taken] == ["/hook"]


def test_proxies_of_the_environment_are_ignored(bare_target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert _call(bare_target, bare_target.receiver.url())["status"] == 201


def test_the_lists_are_long_enough() -> None:
    assert len(INERT) + len(REFUSED) + len(KEYS) >= 40
    assert len(NO_ADDRESS) + len(NOT_LISTED) + len(RESOLVED) >= 30


def _call(target: Target, url: str) -> dict[str, Any]:
    return target.step("http_call", target.context(), url=url)

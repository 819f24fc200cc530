"""The step that sends one request: its permitted hosts, its content, and its result without an answer."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from config.development.ports import free_port
from environments.connectivity import addresses
from environments.targets.base import NoResponse, Overdue, Probe, StepContext, StepFailed, StopRequested
from environments.targets.target import journal_lines
from releases.step_types import by_name
from releases.step_types.http_call import LONGEST_TAIL, HttpCallParameters, faults_of_hosts
from tests.releases.step_types.conftest import Target


def call(target: Target, context: StepContext | None = None, **parameters: Any) -> dict[str, Any]:
    parameters = {"url": target.receiver.url()} | parameters
    return target.step("http_call", context or target.context(), **parameters)


def look(target: Target, **parameters: Any) -> Probe:
    known = by_name("http_call")
    parameters = {"url": target.receiver.url()} | parameters
    return known.probe(target.context(fencing_token=9), known.parameters(**parameters))[0]


def test_the_request_fills_its_placeholders_from_the_configuration(bare_target: Target) -> None:
    secret = bare_target.configuration["SECRET"]
    headers = {"X-Purpose": "release", "Authorization": "Bearer {configuration:PORT}"}
    facts = call(bare_target, headers=headers, document={"deep": ["{configuration:SECRET}", 1, None]})
    (taken,) = bare_target.receiver.taken
    assert (taken.method, taken.path, taken.headers["x-purpose"]) == ("POST", "/hook", "release")
    assert taken.headers["authorization"] == f"Bearer {bare_target.configuration['PORT']}"
    assert taken.headers["host"] == bare_target.receiver.host
    assert json.loads(taken.body) == {"deep": [secret, 1, None]}, "the value, not its JSON, is put in"
    assert "idempotency-key" not in taken.headers
    assert facts["status"] == 201 and facts["body"] == hashlib.sha256(b"taken").hexdigest()
    call(bare_target, bare_target.context("1/2/x"), method="PUT", body="a={configuration:SECRET}")
    assert bare_target.receiver.taken[1].body == f"a={secret}".encode()


def test_the_request_carries_the_trace_unless_the_plan_does(bare_target: Target) -> None:
    traced = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    call(bare_target, bare_target.context("1/1/x", **traced))
    call(bare_target, bare_target.context("1/2/x", **traced), headers={"Traceparent": "own"})
    call(bare_target, bare_target.context("1/3/x"))
    seen = [taken.headers.get("traceparent") for taken in bare_target.receiver.taken]
    assert seen == [traced["traceparent"], "own", None]


def test_a_secret_in_the_receivers_answer_is_masked(bare_target: Target) -> None:
    secret = bare_target.configuration["SECRET"]
    bare_target.receiver.body = f"{secret} {base64.b64encode(secret.encode()).decode()} {json.dumps(secret)}".encode()
    facts = call(bare_target, document={"password": "{configuration:SECRET}"})
    everything = json.dumps(facts) + bytes(bare_target.shown).decode()
    everything += "".join(json.dumps(line) for line in journal_lines(bare_target.spec))
    for form in (secret, base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]):
        assert form not in everything
    assert "****" in facts["tail"]


def test_a_secret_at_the_cut_is_masked_completely(bare_target: Target) -> None:
    secret = bare_target.configuration["SECRET"]
    for kept in (1, len(secret) // 2, len(secret) - 1):
        bare_target.receiver.body = secret.encode() + b"~" * (LONGEST_TAIL - kept)
        facts = call(bare_target, bare_target.context(f"1/{kept}/x"))
        assert set(facts["tail"]) <= {"*", "~"}, kept


def test_a_dry_run_shows_placeholders_and_not_values(bare_target: Target) -> None:
    known = by_name("http_call")
    parameters = known.parameters(
        url=bare_target.receiver.url(), headers={"Cookie": "s={configuration:SECRET}"}, idempotency_header="Once"
    )
    lines = known.describe(bare_target.context(), parameters)
    assert lines == [f"POST {bare_target.receiver.url()}", "Cookie: s={configuration:SECRET}", "Once: ringi/1/1/x"]
    assert bare_target.receiver.taken == []


def test_a_secret_is_never_written_into_a_plan() -> None:
    for header in ("Authorization", "cookie", "X-Api-Key"):
        with pytest.raises(ValidationError, match="must come from the configuration"):
            HttpCallParameters(url="https://api.example.org/", headers={header: "as it is"})


def test_every_attempt_has_the_same_key_and_is_repeatable(bare_target: Target) -> None:
    known = by_name("http_call")
    given = {"url": bare_target.receiver.url(), "idempotency_header": "Idempotency-Key"}
    assert known.repeats(known.parameters(**given)) and not known.repeats(known.parameters(url=given["url"]))
    bare_target.receiver.status = 503
    for fencing_token in (1, 2):
        with pytest.raises(StepFailed, match="503"):
            call(bare_target, bare_target.context(fencing_token=fencing_token), **given)
    keys = [taken.headers["idempotency-key"] for taken in bare_target.receiver.taken]
    assert keys == ["ringi/1/1/x"] * 2


@pytest.mark.parametrize("status", [502, 504])
def test_an_answer_of_a_gateway_leaves_the_effect_unknown(bare_target: Target, status: int) -> None:
    """The receiver has taken the request, and the gateway has not got its answer."""
    bare_target.receiver.status = status
    with pytest.raises(NoResponse, match=str(status)):
        call(bare_target)
    known = by_name("http_call")
    url = bare_target.receiver.url()
    assert known.probe(bare_target.context(fencing_token=2), known.parameters(url=url))[0] is Probe.UNKNOWN
    with pytest.raises(StepFailed) as failed:
        call(bare_target, bare_target.context("1/2/x"), method="GET")
    assert not isinstance(failed.value, NoResponse), "a request without an effect may be sent again"


def test_a_redirect_is_an_answer_and_is_not_followed(bare_target: Target) -> None:
    bare_target.receiver.status = 307
    bare_target.receiver.headers = {"Location": "/elsewhere"}
    with pytest.raises(StepFailed, match="307"):
        call(bare_target)
    assert [taken.path for taken in bare_target.receiver.taken] == ["/hook"]
    assert call(bare_target, bare_target.context("1/2/x"), status=(307,))["status"] == 307
    assert [taken.path for taken in bare_target.receiver.taken] == ["/hook"] * 2


def test_the_name_is_resolved_once_and_its_address_is_contacted(
    bare_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver with a different second answer (DNS rebinding) is not asked twice."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answering(host: Any, *rest: Any, **options: Any) -> Any:
        if host != "hooks.example.org":
            return real(host, *rest, **options)
        asked.append(host)
        # Public at the first look-up, this machine at every later one.
        address = "127.0.0.1" if len(asked) > 1 else "203.0.114.9"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, bare_target.receiver.port))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", answering)
    bare_target.spec.settings["http_hosts"].append(f"hooks.example.org:{bare_target.receiver.port}")
    reached: list[Any] = []

    def connect(sock: socket.socket, address: Any) -> None:
        reached.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(StepFailed, match="gave no answer"):
        call(bare_target, url=f"http://hooks.example.org:{bare_target.receiver.port}/hook")
    assert asked == ["hooks.example.org"] and reached == [("203.0.114.9", bare_target.receiver.port)]


def test_an_unsent_request_is_certainly_not_made(bare_target: Target) -> None:
    closed = f"127.0.0.1:{free_port()}"
    bare_target.spec.settings["http_hosts"].append(closed)
    with pytest.raises(StepFailed, match="gave no answer") as refused:
        call(bare_target, url=f"http://{closed}/hook")
    assert not isinstance(refused.value, Overdue)
    assert look(bare_target, url=f"http://{closed}/hook") is Probe.NOT_DONE


def test_an_unanswered_request_has_an_unknown_outcome_unless_it_is_repeatable(bare_target: Target) -> None:
    bare_target.receiver.held = threading.Event()
    with pytest.raises(NoResponse, match="no complete answer within"):
        call(bare_target, seconds=0.5)
    assert look(bare_target) is Probe.UNKNOWN
    assert look(bare_target, idempotency_header="Once") is Probe.NOT_DONE
    assert len(bare_target.receiver.taken) == 1


def test_a_stop_ends_a_hanging_request(bare_target: Target) -> None:
    bare_target.receiver.held = threading.Event()

    def heartbeat() -> None:
        if bare_target.receiver.arrived.is_set():
            raise StopRequested

    with pytest.raises(StopRequested):
        call(bare_target, bare_target.context(heartbeat=heartbeat), seconds=25)
    assert look(bare_target) is Probe.UNKNOWN


def test_a_missing_configuration_key_sends_nothing(bare_target: Target) -> None:
    with pytest.raises(StepFailed, match="NO_SUCH"):
        call(bare_target, body="{configuration:NO_SUCH}")
    assert bare_target.receiver.taken == []
    assert look(bare_target) is Probe.NOT_DONE


def test_options_name_only_hosts() -> None:
    good = ["api.example.org", "api.example.org:8443", "10.1.2.3", "[::1]:8080", "127.0.0.1:80"]
    assert faults_of_hosts({"http_hosts": good}) == [] == faults_of_hosts({})
    bad = ["*", "*.example.org", "http://api.example.org", "api.example.org/x", "a@b", "127.1", "0x7f.1", "", "a:99999"]
    for entry in [*bad, "::1", "API.example.org", "-a.example.org", "a..b", None, 1]:
        assert faults_of_hosts({"http_hosts": [entry]}), entry
    assert faults_of_hosts({"http_hosts": "api.example.org"})

"""A secret that a step prints in every encoding, cut anywhere, is found nowhere: database, queue, log, ledger,
export.
"""

from __future__ import annotations

import base64
import html
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import pytest
import redis
from django.db import connection
from django.urls import reverse
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from audit.actor import acting
from audit.export import lines
from audit.ledger.link import link_pending
from audit.operation import operation
from environments.operations.configuration.create import create
from releases.models import Deployment, StepOutput
from tests.releases.api.conftest import ask, managing

from .conftest import WORKER, first, row, states

__all__ = ["managing"]
CANARY = 'cänary "17"/+&%<x>\\ word'
RAW = CANARY.encode()
ENCODED: dict[str, bytes] = {
    "raw": RAW,
    "base64": base64.b64encode(RAW),
    "base64url": base64.urlsafe_b64encode(RAW),
    "URL": quote(CANARY, safe="").encode(),
    "form": quote_plus(CANARY).encode(),
    "JSON": json.dumps(CANARY)[1:-1].encode(),
    "JSON in its letters": json.dumps(CANARY, ensure_ascii=False)[1:-1].encode(),
    "hex": RAW.hex().encode(),
}
# A unique part of each: halves of a cut secret must not be found either.
TRACES = {name: text[4:16] for name, text in ENCODED.items()}
MARK = b"seen-by-everyone"

# Prints the setting CANARY of the configuration file in every encoding, whole and in pieces.
SPEAK = """
import base64, json, sys, time
from urllib.parse import quote, quote_plus
values = dict(line.split("=", 1) for line in open(sys.argv[1], encoding="utf-8").read().splitlines())
word = json.loads(values["CANARY"])
raw = word.encode()
forms = [raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), quote(word, safe="").encode(),
         quote_plus(word).encode(), json.dumps(word)[1:-1].encode(),
         json.dumps(word, ensure_ascii=False)[1:-1].encode(), raw.hex().encode()]
out = sys.stdout.buffer
for form in forms:
    out.write(b"seen-by-everyone: " + form + b" | " + base64.b64encode(b"user:" + raw) + b"\\n")
    for piece in (form[:5], form[5:9], form[9:]):
        out.write(piece); out.flush(); time.sleep(0.02)
    out.write(b"\\n"); out.flush()
sys.exit(" ".join(["seen-by-everyone, and it fails:", *(form.decode() for form in forms)]) if sys.argv[2:] else 0)
"""


def found_in(content: bytes) -> set[str]:
    """The encodings found in some bytes, also escaped once more for a page or inside JSON."""
    found = set()
    for name, trace in TRACES.items():
        text = trace.decode("utf-8", "replace")
        again = (html.escape(text), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        if any(form in content for form in (trace, *(form.encode() for form in again))):
            found.add(name)
    return found


def columns(database: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every column that can hold text or bytes, of every table, as the server's owner sees it."""
    server = conninfo_to_dict(os.environ["DATABASE_SERVER_URL"])
    with psycopg.connect(make_conninfo(**{**server, "dbname": conninfo_to_dict(database)["dbname"]})) as raw:
        places = raw.execute(
            "SELECT c.table_schema, c.table_name, c.column_name, c.data_type FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('pg_catalog', 'information_schema')"
            " AND c.data_type IN ('text', 'character varying', 'character', 'jsonb', 'json', 'bytea', 'ARRAY')"
        ).fetchall()
        assert len(places) > 200
        for schema, table, column, kind in places:
            cast = "" if kind == "bytea" else "::text"
            query = sql.SQL("SELECT {}{} FROM {} WHERE {} IS NOT NULL").format(
                sql.Identifier(column), sql.SQL(cast), sql.Identifier(schema, table), sql.Identifier(column)
            )
            for (value,) in raw.execute(query):
                yield f"{table}.{column}", bytes(value) if kind == "bytea" else value.encode()


def values_of(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    """Every value of every key of the queue's server; RQ's compressed values are unpacked."""
    for key in client.scan_iter():
        kind = client.type(key)
        read: dict[bytes, Callable[[], list[Any]]] = {
            b"string": lambda key=key: [client.get(key)],
            b"hash": lambda key=key: [v for pair in client.hgetall(key).items() for v in pair],
            b"list": lambda key=key: client.lrange(key, 0, -1),
            b"set": lambda key=key: list(client.smembers(key)),
            b"zset": lambda key=key: client.zrange(key, 0, -1),
            b"stream": lambda key=key: [v for _id, entry in client.xrange(key) for p in entry.items() for v in p],
        }
        for value in [key, *read[kind]()]:
            yield str(key), value
            try:
                yield str(key), zlib.decompress(value)
            except zlib.error:
                pass


@pytest.fixture
def speaking(world: Any, queued: Callable[..., Deployment], tmp_path: Path) -> Callable[..., Deployment]:
    """Return a function: a deployment to development whose second step prints the canary of its configuration."""
    script = tmp_path / "speak.py"
    script.write_text(SPEAK)
    made = world.configurations["development"]
    with world.acting_as("manager"):
        world.configurations["development"] = create(
            application_id=made.application_id,
            environment_id=made.environment_id,
            values={"PORT": "8080"},
            secrets={"CANARY": CANARY, "PASSWORD": ""},
            reason="with the canary",
        )

    def make(*words: str, verify: tuple[dict[str, Any], ...] = ()) -> Deployment:
        rollout = {**row(["x"]), "step_type": "configuration_update", "parameters": {}}
        speak = row([sys.executable, "-u", str(script), "{config}", *words], repeatable=True)
        return queued(rollout, speak, **({"verify": verify} if verify else {}))

    return make


def work(valkey: redis.Redis) -> None:
    """Process the queue of development with an RQ worker until it is empty."""
    SimpleWorker(["development"], connection=valkey, serializer=JSONSerializer).work(burst=True)


def look_everywhere(database: str, valkey: redis.Redis, said: str) -> dict[str, set[str]]:
    """Place → encodings found there."""
    places: dict[str, set[str]] = {}
    for place, value in [*columns(database), *values_of(valkey), ("log", said.encode())]:
        if found := found_in(value):
            places.setdefault(place, set()).update(found)
    link_pending(connection)
    for line in lines(connection.connection):
        event = json.loads(line).get("event")
        for content in (line.encode(), base64.b64decode(event) if event else b""):
            if found := found_in(content):
                places.setdefault("export", set()).update(found)
    return places


def shown(world: Any, deployment: Deployment, browsers: Callable[[str], Any], token: str) -> dict[str, set[str]]:
    """Page → encodings found on it."""
    client = browsers("operator")
    addresses = [
        reverse("deployment", args=[deployment.pk]),
        reverse("release", args=[deployment.release_id]),
        "/admin/timeline/",
    ]
    addresses += [reverse("step-log", args=[step.pk]) for step in deployment.steps.all()]
    addresses += [reverse("dry-run", args=[deployment.release_id, "development"])]
    pages = {address: client.get(address).content for address in addresses}
    pages["api"] = ask("get", f"/deployments/{deployment.pk}", token=token).content
    return {address: found for address, content in pages.items() if (found := found_in(content))}


def test_the_search_finds_a_present_secret(database: str, valkey: redis.Redis) -> None:
    """Otherwise the other tests would prove nothing."""
    for name, text in ENCODED.items():
        assert name in found_in(b"before " + text + b" after"), name
    valkey.set("kept", zlib.compress(ENCODED["URL"]))
    valkey.hset("hash", mapping={"a": ENCODED["hex"]})
    with acting(WORKER), operation("tests:plant", reason=ENCODED["JSON"].decode()):
        pass
    found = look_everywhere(database, valkey, "said " + ENCODED["base64"].decode())
    assert "base64" in found["log"] and set().union(*found.values()) >= {"URL", "hex", "base64", "JSON"}
    assert {"audit_event.bytes", "audit_event.reason", "export"} <= set(found)


def test_a_successful_deployment_leaves_the_secret_nowhere(
    world: Any,
    speaking: Callable[..., Deployment],
    database: str,
    valkey: redis.Redis,
    browsers: Any,
    managing: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    deployment = speaking()
    work(valkey)
    assert (world.fresh(deployment).state, set(states(deployment))) == ("succeeded", {"succeeded"})
    printed = "".join(StepOutput.objects.order_by("pk").values_list("text", flat=True))
    assert printed.count(MARK.decode()) == len(ENCODED) and printed.count("****") >= 2 * len(ENCODED)
    config = (Path(world.targets["development"].root) / "shared" / "config.env").read_text()
    assert json.dumps(CANARY, ensure_ascii=False) in config, "on the target it is where it belongs"
    captured = capfd.readouterr()
    said = "\n".join([caplog.text, captured.out, captured.err])
    assert look_everywhere(database, valkey, said) == {}
    assert shown(world, deployment, browsers, managing) == {}


def test_a_failed_deployment_leaves_the_secret_nowhere(
    world: Any,
    speaking: Callable[..., Deployment],
    database: str,
    valkey: redis.Redis,
    browsers: Any,
    managing: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    deployment = speaking("fail")
    work(valkey)
    assert world.fresh(deployment).state == "failed"
    failed = deployment.steps.get(ordinal=2)
    assert "it fails" in failed.failure and "****" in failed.failure
    captured = capfd.readouterr()
    said = "\n".join([caplog.text, captured.out, captured.err])
    assert look_everywhere(database, valkey, said) == {}
    assert shown(world, deployment, browsers, managing) == {}


def test_an_unexpected_exception_leaves_the_secret_nowhere(
    world: Any,
    speaking: Callable[..., Deployment],
    database: str,
    valkey: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The traceback goes to the log, the message to the step: neither holds the secret."""
    caplog.set_level("DEBUG")

    def breaks(self: Any, context: Any, parameters: Any) -> None:
        raise RuntimeError(" ".join(text.decode() for text in ENCODED.values()))

    deployment = speaking()
    monkeypatch.setattr("releases.step_types.command.Command.run", breaks)
    work(valkey)
    assert world.fresh(deployment).state == "failed" and "****" in deployment.steps.get(ordinal=2).failure
    captured = capfd.readouterr()
    said = "\n".join([caplog.text, captured.out, captured.err])
    assert "RuntimeError" in said
    assert look_everywhere(database, valkey, said) == {}


def test_a_log_check_leaves_the_secret_nowhere(
    world: Any,
    speaking: Callable[..., Deployment],
    database: str,
    valkey: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The key is not named like a secret, and the word is where a long line is cut."""
    caplog.set_level("DEBUG")
    check = {"check": "log", "parameters": {"pattern": "ERROR", "at_most": 0}}
    root = Path(world.targets["development"].root)
    log, written = root / "shared" / "app.log", root / "written.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    write = row(["cp", str(written), str(log)])
    deployment = speaking(verify=(write, {**row(["x"]), "step_type": "check", "parameters": check}))
    faults = [f"2099-01-01T00:00:00Z ERROR {text.decode()}" for text in ENCODED.values()]
    faults += [f"2099-01-01T00:00:00Z ERROR {'x' * (282 - shift)}{CANARY}" for shift in range(0, 40, 5)]
    written.write_text("\n".join(faults) + "\n", encoding="utf-8")
    work(valkey)
    assert states(deployment)[-1] == "failed" and "****" in deployment.steps.last().failure
    captured = capfd.readouterr()
    assert look_everywhere(database, valkey, "\n".join([caplog.text, captured.out, captured.err])) == {}
    assert first(deployment).state == "succeeded"

"""Each format of a configuration: read back by its own reader, deployed, rolled back, and proved by digest."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from environments.targets.base import Probe, StepFailed, TargetSpec
from environments.targets.configuration_file import Kept, configuration_digest, kept_of, render_configuration
from environments.targets.measured import measure
from environments.targets.target import Layout
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target

HARD = {
    "A": "",
    "B": 'say "hi"\\\n$HOME\t#: {x}',
    "C": "パスワード é 🗝",
    "D": "null",
    "E": "0x10",
    "F": "~",
    "G": "- a: b",
    "H": "\x01\x7f\x85\u2028\ufeff",
    "yes": "no",
    "_x": "'",
    "Z": " lead and trail ",
}


def read_env(text: str) -> dict[str, str]:
    return {key: json.loads(value) for key, _is, value in (line.partition("=") for line in text.split("\n") if line)}


READERS: dict[str, Callable[[str], Any]] = {
    "env": read_env,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "command": json.loads,
}

# The target's own store behind commands: it keeps its input and returns its digest.
STORE = """
import hashlib, json, os, pathlib, sys
kept = pathlib.Path(sys.argv[2])
if sys.argv[1] == "write":
    content = open(sys.argv[3], "rb").read()
    (kept.parent / "seen.json").write_text(json.dumps([sys.argv, dict(os.environ)]))
    kept.write_bytes(content) if content else kept.unlink(missing_ok=True)
    print("stored", len(content), "bytes:", content.decode())
elif kept.exists():
    print(hashlib.sha256(kept.read_bytes()).hexdigest())
"""


@pytest.mark.parametrize("format", READERS)
def test_each_format_is_read_the_same_by_its_own_reader(format: str) -> None:
    content = render_configuration(HARD, format)
    assert READERS[format](content.decode()) == HARD
    assert content == render_configuration(dict(reversed(HARD.items())), format), "the order makes no difference"
    assert render_configuration({}, format) == b""


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z"), st.text(max_size=20), min_size=1, max_size=4))
@pytest.mark.parametrize("format", ["toml", "yaml", "json"])
def test_a_text_is_never_read_as_another_type(format: str, values: dict[str, str]) -> None:
    assert READERS[format](render_configuration(values, format).decode()) == values


def test_an_invalid_key_is_refused_in_each_format() -> None:
    for format in READERS:
        with pytest.raises(StepFailed, match="not a configuration key"):
            render_configuration({"a.b": "x"}, format)


def kept_as(target: Target, **setting: Any) -> Target:
    return replace(target, spec=replace(target.spec, settings={**target.spec.settings, "configuration": setting}))


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ({}, "shared/config.env"),
        ({"format": "toml"}, "shared/config.toml"),
        ({"format": "yaml", "path": "etc/app.yml"}, "etc/app.yml"),
        ({"format": "json"}, "shared/config.json"),
    ],
)
def test_a_file_is_deployed_and_rolled_back_by_digest(bare_target: Target, setting: dict[str, str], path: str) -> None:
    target, file = kept_as(bare_target, **setting), bare_target.spec.root / path
    before = target.context("0/1/x", configuration=target.configuration, previous_configuration={})
    assert target.step("configuration_update", before)["configuration_before"] == ""
    old = configuration_digest(target.spec)
    forward = target.step("configuration_update", target.context("1/1/x"))
    new = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (forward["configuration_before"], forward["configuration"]) == (old, new) and old != new
    assert READERS[setting.get("format", "env")](file.read_text())["LIMIT"] == "5"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert measure(target.spec, {}).configuration == new
    back = target.step("configuration_update", target.back("1/2/x", {}), direction="rollback", digest=old)
    assert back["configuration"] == configuration_digest(target.spec) == old
    nothing = target.back("1/3/x", {}, configuration={})
    assert target.step("configuration_update", nothing, direction="rollback")["configuration"] == ""
    assert not file.exists()


@pytest.fixture
def stored(bare_target: Target, tmp_path: Path) -> Target:
    """A target whose configuration is kept by two commands."""
    script = tmp_path / "store.py"
    script.write_text(STORE)
    bare_target.spec.settings["programs"] = {"read": [str(script)]}
    base, kept = [sys.executable, str(script)], "{root}/kept.json"
    return kept_as(
        bare_target, format="command", write=[*base, "write", kept, "{values}"], digest=[*base, "digest", kept]
    )


def test_a_command_receives_the_values_and_is_proved_by_the_stored_digest(stored: Target) -> None:
    root = stored.spec.root
    assert configuration_digest(stored.spec) == ""
    forward = stored.step("configuration_update", stored.context("1/1/x"))
    assert json.loads((root / "kept.json").read_text()) == stored.configuration | {"LIMIT": "5"}
    assert forward["configuration"] == configuration_digest(stored.spec) != ""
    update = by_name("configuration_update")
    assert update.probe(stored.context("1/1/x", fencing_token=2), update.parameters())[0] is Probe.DONE
    assert (
        stored.step("configuration_update", stored.back("1/2/x", {}), direction="rollback")["configuration_before"]
        == (forward["configuration"])
    )
    assert json.loads((root / "kept.json").read_text()) == stored.configuration
    stored.step("configuration_update", stored.back("1/3/x", {}, configuration={}), direction="rollback")
    assert configuration_digest(stored.spec) == "" and not (root / "kept.json").exists()
    assert not Layout(root).configuration.exists(), "no file of ours beside the store"


def test_the_command_gets_no_secret_as_argument_and_its_output_is_masked(stored: Target) -> None:
    stored.step("configuration_update", stored.context("1/1/x"))
    secret = stored.configuration["SECRET"]
    seen = (stored.spec.root / "seen.json").read_text()
    assert "/dev/fd/" in seen and secret not in seen and json.dumps(secret)[1:-1] not in seen
    assert b"stored" in bytes(stored.shown) and json.dumps(secret)[1:-1].encode() not in bytes(stored.shown)


def test_a_command_that_stores_other_values_fails_the_step(stored: Target) -> None:
    """It reported a write, and made none."""
    setting = {**stored.spec.settings["configuration"], "write": [sys.executable, "-c", "pass", "{values}"]}
    with pytest.raises(StepFailed, match="after the command, the active configuration differs from"):
        kept_as(stored, **setting).step("configuration_update", stored.context("1/1/x", target=_spec(stored, setting)))


def test_a_command_without_digest_is_reported(stored: Target) -> None:
    setting = {**stored.spec.settings["configuration"], "digest": [sys.executable, "-c", "print('fine')"]}
    with pytest.raises(StepFailed, match="printed something other than a digest"):
        configuration_digest(_spec(stored, setting))


def _spec(target: Target, setting: dict[str, Any]) -> TargetSpec:
    return replace(target.spec, settings={**target.spec.settings, "configuration": setting})


@pytest.mark.parametrize(
    "setting",
    [
        {"format": "ini"},
        {"format": "command"},
        {"format": "command", "write": ["a"]},
        {"path": "/etc/passwd"},
        {"path": "../x"},
        {"format": "env", "write": ["a"], "digest": ["b"]},
        {"surprise": 1},
        {"path": "a\0b"},
        {"format": "command", "write": [], "digest": ["b"]},
        "env",
    ],
)
def test_an_invalid_option_is_refused_with_a_message(bare_target: Target, setting: Any) -> None:
    with pytest.raises(StepFailed, match="target option “configuration”"):
        kept_of(_spec(bare_target, setting))


def test_the_file_of_old_targets_keeps_its_path(bare_target: Target) -> None:
    assert kept_of(bare_target.spec) == Kept()

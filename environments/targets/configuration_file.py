"""How a target keeps its configuration: an env, TOML, YAML or JSON file, or two given commands; used by every kind."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from environments.targets import runner
from environments.targets.base import StepFailed, TargetSpec
from environments.targets.declared import BaseModel, ConfigDict, Field, ValidationError, model_validator
from environments.targets.sandbox import inside
from environments.targets.words import gettext as _

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What JSON leaves as it is and TOML 1.0 or YAML 1.2 do not allow, or read as a line break.
_ODD = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

Argv = Annotated[tuple[Annotated[str, Field(pattern=r"^[^\x00]*$")], ...], Field(min_length=1)]


class Kept(BaseModel):
    """A target's setting `configuration`.

    path: of the file, below the root ("": shared/config.<format>). write: argument list that takes the values as
    canonical JSON, {values} its path, empty for none; digest: prints the SHA-256 (hex) of that JSON as it is deployed,
    or nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["env", "toml", "yaml", "json", "command"] = "env"
    path: str = ""
    write: Argv | None = None
    digest: Argv | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        commands = (self.write, self.digest)
        if self.format == "command" and (None in commands or self.path):
            raise ValueError(_("the format command needs write and digest, and no path"))
        if self.format != "command" and commands != (None, None):
            raise ValueError(_("write and digest are only allowed with the format command"))
        parts = PurePosixPath(self.path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in self.path:
            raise ValueError(_("the path must be below the target's root folder"))
        return self


def kept_of(target: TargetSpec) -> Kept:
    """Return how the target keeps its configuration. Raises StepFailed for a setting that cannot be read."""
    try:
        return Kept.model_validate(target.settings.get("configuration", {}))
    except ValidationError as fault:
        faults = "; ".join(str(error["msg"]) for error in fault.errors(include_input=False))
        raise StepFailed(_("target option “configuration”: %(faults)s") % {"faults": faults}) from fault


def path_of(target: TargetSpec) -> Path | None:
    """Return where the file lies; None where commands keep the configuration. Raises StepFailed where it leads out."""
    kept = kept_of(target)
    if kept.format == "command":
        return None
    return inside(target, target.root / (kept.path or f"shared/config.{kept.format}"))


def quoted(value: str) -> str:
    """Return the text as JSON, TOML and YAML alike read it."""
    text = json.dumps(value, ensure_ascii=False)
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def render_configuration(values: Mapping[str, str], format: str = "env") -> bytes:
    """Return the bytes of the file, by sorted key; of `command` the canonical JSON. Empty for no values.

    env: KEY="value" with the escapes of JSON; toml, yaml, json: one flat table of texts. Raises StepFailed for a key
    that is not a plain name.
    """
    for key in values:
        if not _KEY.match(key):
            raise StepFailed(_("%(key)r is not a configuration key") % {"key": key})
    if not values:
        return b""
    lines: dict[str, Callable[[str], str]] = {
        "env": lambda key: f"{key}={json.dumps(values[key], ensure_ascii=False)}",
        "toml": lambda key: f"{key} = {quoted(values[key])}",
        "yaml": lambda key: f'"{key}": {quoted(values[key])}',
    }
    if format in lines:
        return "".join(lines[format](key) + "\n" for key in sorted(values)).encode()
    indent, separators = (2, None) if format == "json" else (None, (",", ":"))
    text = json.dumps(dict(sorted(values.items())), ensure_ascii=False, indent=indent, separators=separators)
    return text.encode() + (b"\n" if format == "json" else b"")


def rendered(target: TargetSpec, values: Mapping[str, str]) -> bytes:
    """Return the file on the target when these values are deployed; empty for none. Raises StepFailed."""
    return render_configuration(values, kept_of(target).format)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 (hex) of rendered bytes; "" for none."""
    return hashlib.sha256(content).hexdigest() if content else ""


def configuration_digest(target: TargetSpec) -> str:
    """Return the SHA-256 (hex) of the configuration as it is on the target; "" if there is none. Raises StepFailed."""
    kept, path = kept_of(target), path_of(target)
    if path is not None:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    assert kept.digest is not None
    arguments = _at(kept.digest, target)
    said = runner.demand(runner.run_on(target, arguments, seconds=600), arguments).text
    if said and not _DIGEST.match(said):
        raise StepFailed(_("the command that returns the configuration's digest printed something other than a digest"))
    return said


def write_by_command(target: TargetSpec, content: bytes, run: Callable[..., runner.Outcome]) -> None:
    """Give the rendered values to the target's own command, by a file without a name; never as an argument.

    run: runs an argument list under the target's lock. Raises StepFailed when it ends badly.
    """
    kept = kept_of(target)
    assert kept.write is not None
    with open(os.memfd_create("configuration"), "wb", buffering=0) as file:
        file.write(content)
        file.seek(0)
        arguments = [text.replace("{values}", f"/dev/fd/{file.fileno()}") for text in _at(kept.write, target)]
        run(arguments, pass_fds=(file.fileno(),))


def _at(arguments: tuple[str, ...], target: TargetSpec) -> list[str]:
    return [text.replace("{root}", str(target.root)) for text in arguments]

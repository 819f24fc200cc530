"""The host of a target and its key: the target's option `ssh`, and the arguments of the `ssh` program."""

import base64
import binascii
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from environments.targets.base import StepFailed, TargetSpec
from environments.targets.declared import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from environments.targets.words import gettext as _

# The configuration key of the private key; among the secrets, and never on the target itself.
KEY = "TARGET_SSH_KEY"
CONNECT_SECONDS = 15
# An answer that does not come for this long (5 s × 3) means that the connection is lost.
ALIVE_SECONDS, ALIVE_COUNT = 5, 3

_KINDS = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-")
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "/dev/null",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
    "CheckHostIP": "no",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PreferredAuthentications": "publickey",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "PermitLocalCommand": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "EscapeChar": "none",
    "RequestTTY": "no",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": str(ALIVE_SECONDS),
    "ServerAliveCountMax": str(ALIVE_COUNT),
    "LogLevel": "ERROR",
}


class Place(BaseModel):
    """A target's option `ssh`.

    known_hosts: one or more lines as `ssh-keyscan` prints them; they pin the host's key. python: the interpreter there
    (3.11.4 or newer), a path or a name on the PATH.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$", max_length=255)]
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=64)]
    known_hosts: str | tuple[str, ...]
    port: int = Field(default=22, ge=1, le=65535)
    python: Annotated[str, StringConstraints(pattern=r"^/?[A-Za-z0-9][A-Za-z0-9._/+-]*$")] = "python3"

    @field_validator("known_hosts")
    @classmethod
    def _pins_a_key(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        lines = [line for line in _lines(value) if line]
        if not lines:
            raise ValueError(_("at least one line with the host's key is needed"))
        for line in lines:
            parts = line.split()
            try:
                pinned = len(parts) >= 3 and parts[1].startswith(_KINDS) and base64.b64decode(parts[2], validate=True)
            except binascii.Error:
                pinned = False
            if not pinned or parts[0].startswith("@") or "*" in parts[0] or "?" in parts[0]:
                raise ValueError(_("each line has three parts: name of the host, key type, the key in base64"))
        return value

    @property
    def label(self) -> str:
        """Return the host in words: user@host, and the port unless it is 22."""
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != 22 else "")

    @property
    def hosts(self) -> bytes:
        """Return the content of the file of known hosts."""
        return "".join(f"{line}\n" for line in _lines(self.known_hosts)).encode()

    def arguments(self, key: str, hosts: str, command: Sequence[str]) -> list[str]:
        """Return the argument list that runs a command there. key, hosts: paths of the private key and the known hosts.

        sshd gives the command to the user's shell as one text: it is quoted for it here, once.
        """
        options = _OPTIONS | {"IdentityFile": key, "UserKnownHostsFile": hosts}
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        place = ["-p", str(self.port), "-l", self.user, "--", self.host]
        return ["ssh", "-F", "/dev/null", "-T", "-x", "-a", *given, *place, f"exec {shlex.join(command)}"]


def _lines(value: str | tuple[str, ...]) -> list[str]:
    texts = value.splitlines() if isinstance(value, str) else [line for text in value for line in text.splitlines()]
    return [text.strip() for text in texts if text.strip() and not text.startswith("#")]


def lies_elsewhere(target: TargetSpec) -> bool:
    """Tell whether the target is on another host."""
    return bool(target.settings.get("ssh"))


def place_of(target: TargetSpec) -> Place:
    """Return the host of a target that lies elsewhere. Raises StepFailed for an option that cannot be read."""
    faults = faults_in(target.settings)
    if faults:
        raise StepFailed(faults[0])
    return Place.model_validate(target.settings["ssh"])


def faults_in(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fault of the option `ssh`; none without it."""
    if "ssh" not in settings:
        return []
    try:
        Place.model_validate(settings["ssh"])
    except ValidationError as wrong:
        faults = [".".join(["ssh", *map(str, e["loc"])]) + f": {e['msg']}" for e in wrong.errors(include_input=False)]
        return [_("target option %(fault)s") % {"fault": text} for text in faults]
    return []

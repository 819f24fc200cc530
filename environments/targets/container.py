"""The target's option `container`: how the container of its application is run, and what runs in it now.

The container engine is the host's own: podman or docker, found on the PATH. Its options can open every folder of the
machine to a container, Ringi's keys included, so that it runs on the worker's own machine only where
RINGI_LOCAL_CONTAINERS says so; see docs/how-to/deploy-containers.md.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from environments.targets.base import StepFailed, TargetSpec, Version
from environments.targets.declared import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from environments.targets.runner import Outcome, demand, run_on
from environments.targets.words import gettext as _

KEY, DIGEST, TARGET = "ringi.key", "ringi.digest", "ringi.target"
LOOK_SECONDS = 30.0
_LINE = re.compile(r"^ringi\|(true|false)\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|(-?\d+)$", re.M)
_LABELS = "|".join(f'{{{{index .Config.Labels "{label}"}}}}' for label in (KEY, DIGEST, TARGET))
_FORMAT = "ringi|{{.State.Running}}|" + _LABELS + "|{{.Image}}|{{.State.StartedAt}}|{{.State.ExitCode}}"
_DIGESTS = re.compile(r"@sha256:([0-9a-f]{64})")
Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=2000)]


class Container(BaseModel):
    """name: of the container. options: arguments of the engine's `run`. command: arguments after the image.

    {root} and {config} stand for the target's folder and configuration file in both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    engine: Literal["podman", "docker"] = "podman"
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    options: tuple[Argument, ...] = Field(default=())
    command: tuple[Argument, ...] = Field(default=())


@dataclass(frozen=True)
class State:
    """A container as its engine reports it. key: of the step that started it. target: the folder of its target, "" for
    one that Ringi did not start. digest: the SHA-256 (hex) of its image's manifest, "" where the engine knows none.
    started_at: as the engine writes it.
    """

    running: bool
    key: str
    target: str
    digest: str
    started_at: str
    exit_code: int


def container_of(settings: Mapping[str, Any]) -> Container | None:
    """Return the option as an object; None where it is not set. Raises StepFailed for one that cannot be read."""
    given = settings.get("container")
    if not given:
        return None
    try:
        return Container.model_validate(given)
    except (ValidationError, TypeError) as wrong:
        raise StepFailed(_("target option %(fault)s") % {"fault": f"container: {wrong}"}) from wrong


def image_of(version: Version) -> str:
    """Return the image of a version as an engine takes it: name and digest."""
    return f"{version.reference}@sha256:{version.digest}"


def engine(
    target: TargetSpec,
    container: Container,
    arguments: Sequence[str],
    *,
    allowed: Sequence[int] | range = (0,),
    seconds: float = LOOK_SECONDS,
    **how: Any,
) -> Outcome:
    """Run a command of the target's container engine, as the account that works there; how: as run_on takes it.

    Raises StepFailed for an exit code that is not allowed, where there is no such engine, and on the worker's own
    machine unless RINGI_LOCAL_CONTAINERS is 1.
    """
    if not target.there and os.environ.get("RINGI_LOCAL_CONTAINERS", "") != "1":
        raise StepFailed(
            _(
                "Containers run on a host over SSH. To run them on this machine, where their options can open every "
                "folder to them, set RINGI_LOCAL_CONTAINERS to 1 for the workers."
            )
        )
    program = shutil.which(container.engine)
    if program is None:
        raise StepFailed(_("%(engine)s is not installed on the target's host") % {"engine": container.engine})
    own = {name: os.environ[name] for name in ("HOME", "XDG_RUNTIME_DIR") if name in os.environ}
    words = [program, *arguments]
    return demand(run_on(target, words, extra=own, confined=False, seconds=seconds, **how), words, allowed)


def state_of(target: TargetSpec, container: Container) -> State | None:
    """Return the container as it is now; None where there is none. Raises StepFailed where the engine cannot tell."""
    seen = engine(target, container, ["container", "inspect", "--format", _FORMAT, container.name], allowed=(0, 1, 125))
    found = _LINE.search(seen.text)
    if found is None:
        if seen.code and "no such container" in seen.text.lower():
            return None
        last = (seen.text.splitlines() or [""])[-1]
        raise StepFailed(f"{container.engine}: {last}", state=seen.text)
    running, key, digest, owner, image, started_at, exit_code = found.groups()
    known = engine(target, container, ["image", "inspect", "--format", "{{.RepoDigests}}", image], allowed=(0, 1, 125))
    digests = _DIGESTS.findall(known.text)
    # A label is what was asked for; it counts where the engine knows the image under it.
    measured = digest if digest in digests else next(iter(digests), "")
    return State(running == "true", key, owner, measured, started_at, int(exit_code))


def has_image(target: TargetSpec, container: Container, version: Version) -> bool:
    """Tell whether the host holds an image already."""
    words = ["image", "inspect", "--format", "{{.Id}}", image_of(version)]
    return engine(target, container, words, allowed=(0, 1, 125)).code == 0

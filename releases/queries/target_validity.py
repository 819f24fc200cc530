"""Validation of deployment targets: options that can work, and a folder that no other target shares."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from audit.refusals import InvalidInput
from environments.connectivity.addresses import networks
from environments.models import DeploymentTarget
from environments.targets.base import StepFailed, TargetSpec
from environments.targets.path_identity import shared_with
from environments.targets.words import gettext as _
from releases.metric_sources.collection import WrongSources, places_of
from releases.queries import target_schema
from releases.queries.target_spec import spec_of
from releases.step_types.http_call import faults_of_hosts


def require_valid(settings: Any) -> None:
    """Raise InvalidInput with every fault of a target's settings."""
    if not isinstance(settings, Mapping):
        raise InvalidInput(_("The target options must be a JSON object."))
    if faults := [*_faults_of_monitoring(settings), *faults_of_hosts(settings), *target_schema.faults_in(settings)]:
        raise InvalidInput(*faults)


def _faults_of_monitoring(settings: Mapping[str, Any]) -> list[str]:
    faults = []
    try:
        for place in places_of(settings):
            program = getattr(place.parameters, "argv", ("",))[0]
            if place.source.runs_program and (not program.startswith("{tree}/") or ".." in program):
                faults.append(
                    _("%(where)s: the program must be part of the release, with a path that begins with {tree}/.")
                    % {"where": place.key}
                )
    except WrongSources as wrong:
        faults.append(str(wrong))
    own = settings.get("private_networks", [])
    try:
        if not isinstance(own, list):
            raise ValueError
        networks(str(text) for text in own)
    except ValueError:
        faults.append(_("“private_networks” must be a list of networks such as 10.1.0.0/16."))
    return faults


def require_separate(target: DeploymentTarget) -> None:
    """Raise InvalidInput for a root that is not absolute, or that is another target's on the same host, holds it or
    lies in it: what is done to the one would be done to the other, by the rules of the first. Another host is not
    contacted here.
    """
    here = PurePosixPath(target.root)
    if not here.is_absolute() or ".." in here.parts:
        raise InvalidInput(_("The folder must be an absolute path."))
    for root, other in _beside(target).items():
        there = PurePosixPath(root)
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise InvalidInput(_("Another deployment target is already there: %(target)s") % {"target": other})
    if "ssh" not in target.options:
        try:
            if why := overlap(target, spec_of(target)):
                raise InvalidInput(why)
        except StepFailed as fault:
            raise InvalidInput(str(fault)) from fault


def overlap(target: DeploymentTarget, spec: TargetSpec) -> str:
    """Return why what is done to a target would be done to another one, as their host sees it; empty when it is not.

    It is also done by programs that may write beside their own folder (`programs.write`): into that of a protected
    environment, the programs of an unprotected one do not write. Raises StepFailed as `shared` does.
    """
    if other := shared(target, spec):
        return _("Another deployment target is already there: %(target)s") % {"target": other}
    if other := _written(target, spec):
        text = _("The programs of one deployment target could write into the folder of another one: %(target)s")
        return text % {"target": other}
    return ""


def _written(target: DeploymentTarget, spec: TargetSpec) -> str:
    """Return which target of a protected environment has its folder where the programs of an unprotected one, whose
    options one person sets, could write, where this target is either of them; empty for none. On a host over SSH, the
    account alone limits programs.
    """
    if "ssh" in target.options:
        return ""
    protected = target.environment.protected
    rows = DeploymentTarget.objects.exclude(pk=target.pk).exclude(environment__protected=protected)
    others = [row for row in rows.select_related("application", "environment") if "ssh" not in row.options]
    if protected:
        opened = {path: str(row) for row in others for path in _writable(row)}
        return next((opened[path] for path in shared_with(spec, list(opened))), "") if opened else ""
    closed = {row.root: str(row) for row in others}
    found = [shared_with(replace(spec, root=Path(path)), list(closed)) for path in _writable(target) if closed]
    return next((closed[roots[0]] for roots in found if roots), "")


def _writable(target: DeploymentTarget) -> list[str]:
    return list(target.options.get("programs", {}).get("write", ()))


def shared(target: DeploymentTarget, spec: TargetSpec) -> str:
    """Return which other target lies in a target's folder, also under another name, as its host sees it; empty for
    none.

    Raises StepFailed where the host cannot be asked, or cannot tell.
    """
    beside = _beside(target)
    found = shared_with(spec, list(beside)) if beside else []
    return beside[found[0]] if found else ""


def _beside(target: DeploymentTarget) -> dict[str, str]:
    """Return root → name of the other targets that lie on the same host."""
    own = hosts_of(target.options)
    rows = DeploymentTarget.objects.exclude(pk=target.pk).select_related("application", "environment")
    return {row.root: str(row) for row in rows if own & hosts_of(row.options)}


def hosts_of(settings: Mapping[str, Any]) -> set[str]:
    """Return the names by which a host is known: its name and its keys; "" for this machine."""
    ssh = settings.get("ssh")
    if not isinstance(ssh, Mapping):
        return {""}
    name, known = str(ssh.get("host", "")).lower(), ssh.get("known_hosts", ())
    lines = known.splitlines() if isinstance(known, str) else [line for text in known for line in text.splitlines()]
    return {"" if _is_here(name) else name, *(" ".join(line.split()[1:3]) for line in lines if len(line.split()) > 2)}


def _is_here(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"

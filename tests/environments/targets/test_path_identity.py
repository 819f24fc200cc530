"""Folders that are one place under several names are treated as one, on this machine and on another host."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from environments.targets import path_identity
from environments.targets.base import StepFailed, TargetSpec
from tests.releases.step_types.conftest import Host, Target, bare_target, host, new_database, versions

__all__ = ["bare_target", "host", "new_database", "versions"]


def spec(root: Path | str) -> TargetSpec:
    return TargetSpec("sample", "development", Path(root))


def test_links_and_relative_paths_are_followed(tmp_path: Path) -> None:
    production = tmp_path / "production"
    (production / "releases").mkdir(parents=True)
    (tmp_path / "link").symlink_to(production)
    (tmp_path / "to_parent").symlink_to(tmp_path)
    other = tmp_path / "other"
    for name in ("link", "link/releases", "to_parent", "to_parent/production/yet_to_be_made", "production/../link"):
        assert path_identity.shared_with(spec(tmp_path / name), [str(production), str(other)])[:1] == [
            str(production)
        ], name
    assert path_identity.shared_with(spec(other), [str(production)]) == []
    assert path_identity.shared_with(spec(tmp_path / "production-2"), [str(production)]) == []


def test_a_path_through_proc_is_resolved_or_refused(tmp_path: Path) -> None:
    production = tmp_path / "production"
    production.mkdir()
    for name in (f"/proc/{os.getpid()}/root{production}", f"/proc/self/cwd/{os.path.relpath(production)}"):
        assert path_identity.shared_with(spec(name), [str(production)]) == [str(production)], name
    with pytest.raises(StepFailed, match="leads through /proc"):
        path_identity.shared_with(spec("/proc/sys/kernel"), [str(production)])


def test_a_bind_mount_is_its_source_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the kernel's list, `/mnt/dev` shows the folder of production, `/srv/apps/data disk` is its own disk."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 20 8:1 /srv/production /mnt/dev rw - ext4 /dev/sda1 rw\n"
        "31 20 8:2 / /srv/apps/data\\040disk rw - ext4 /dev/sdb1 rw\n"
        "32 20 8:2 /inner /mnt/inner rw - ext4 /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(path_identity, "MOUNTS", table)
    production = ["/srv/production"]
    assert path_identity.shared_with(spec("/mnt/dev"), production) == production
    assert path_identity.shared_with(spec("/mnt/dev/inner"), production) == production
    assert path_identity.shared_with(spec("/mnt"), production) == production, (
        "what is mounted below it is reached through it"
    )
    assert path_identity.shared_with(spec("/srv/apps/data disk/inner"), ["/mnt/inner"]) == ["/mnt/inner"]
    assert path_identity.shared_with(spec("/srv/apps/data disk/other"), ["/mnt/inner"]) == []


def test_another_host_gives_the_same_identity(bare_target: Target, host: Host) -> None:
    production = bare_target.spec.root.parent / "production"
    production.mkdir()
    (production.parent / "link").symlink_to(production)
    bare_target.move_to(host)
    there = replace(bare_target.spec, root=production.parent / "link")
    assert path_identity.shared_with(there, [str(production), "/srv/elsewhere"]) == [str(production)]

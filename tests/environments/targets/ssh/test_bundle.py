"""The bundle that is sent to a host: whole, reproducible, of Python's own parts, for every promised Python."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from environments.targets.base import StepFailed
from environments.targets.ssh.bundle import ROOT, TAKEN_ALONG, bundle, carries
from environments.targets.target import TargetStep
from releases import check_types, metric_sources, step_types
from releases.check_types.base import TargetCheck
from releases.metric_sources.base import TargetSource
from tests.releases.step_types.conftest import Target

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


def older(version: str) -> str | None:
    """Return the path of a Python of that version, if it is new enough, from the PATH."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / f"python{version}"
        if path.exists():
            code = "import sys, tarfile; tarfile.data_filter; print(sys.executable)"
            found = subprocess.run([path, "-I", "-S", "-c", code], capture_output=True, text=True)
            if found.returncode == 0:
                return found.stdout.strip()
    return None


def test_the_bundle_carries_every_type_that_works_on_a_target() -> None:
    kinds = [
        *(kind for kind in step_types.STEP_TYPES if isinstance(kind, TargetStep)),
        *(kind for kind in check_types.CHECK_TYPES if isinstance(kind, TargetCheck)),
        *(source for source in metric_sources.SOURCES if isinstance(source, TargetSource)),
    ]
    assert len(kinds) >= 15
    assert [kind.name for kind in kinds if not carries(type(kind).__module__)] == []
    assert not carries("releases.check_types.http")


def test_the_same_source_gives_the_same_bytes() -> None:
    code = "from environments.targets.ssh.bundle import bundle; print(bundle().digest)"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == bundle().digest


def test_the_bundle_needs_neither_django_nor_pydantic_nor_newer_syntax() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().content)) as made:
        for name in made.namelist():
            tree = ast.parse(made.read(name), feature_version=(3, 11))
            if name.split("/")[0].removesuffix(".py") in TAKEN_ALONG:
                continue
            for node in ast.walk(tree):
                wanted = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                wanted += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                own = [module for module in wanted if module.startswith("environments.")]
                ours = ("environments.targets", "environments.connectivity.addresses", "environments.wall_clock")
                assert all(module.startswith(ours) for module in own), name
                tops = {module.partition(".")[0] for module in wanted if module not in own}
                assert tops <= {*sys.stdlib_module_names, "releases", "psycopg"}, name


@pytest.mark.parametrize("version", sorted({"3.11", "3.12"} - {OURS}))
def test_the_bundle_runs_on_every_promised_python(installed: Target, version: str) -> None:
    python = older(version)
    if python is None:
        pytest.skip(f"no Python {version} with tarfile.data_filter is installed")
    installed.spec.settings["ssh"]["python"] = python
    facts = installed.step("backup", installed.context("1/1/x"))
    assert facts["proved"] == "full" and facts["tables"]["dataset"][0] == 20
    assert installed.step("code_deploy", installed.context("1/2/x"))["code"] == installed.versions.new.tree
    configured = installed.step("configuration_update", installed.context("1/3/x"))
    assert configured["keys"]["added"] == ["LIMIT"]


def test_an_older_python_is_refused_by_name(there: Target, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info, sys.version = (3, 9), '3.9.1 (old)'\n"
        "given = sys.argv[sys.argv.index('-c') + 1:]\nsys.argv = ['-c', *given[1:]]\nexec(given[0])\n"
    )
    old.chmod(0o755)
    there.spec.settings["ssh"]["python"] = str(old)
    with pytest.raises(StepFailed, match=r"has Python 3\.9\.1; 3\.11\.4 or newer is needed"):
        there.step("command", there.context(), argv=("true",))


def test_a_target_without_a_database_needs_no_library_of_one(there: Target, tmp_path: Path) -> None:
    """The host's Python here can import no psycopg, like one that lacks libpq."""
    bare = tmp_path / "python3"
    bare.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.executable = {str(bare)!r}\nsys.modules['psycopg'] = None\n"
        "if '-c' in sys.argv:\n"
        "    given = sys.argv[sys.argv.index('-c') + 1:]\n    sys.argv = ['-c', *given[1:]]\n    exec(given[0])\n"
        "else:\n    sys.path.insert(0, sys.argv[-1])\n    runpy.run_path(sys.argv[-1], run_name='__main__')\n"
    )
    bare.chmod(0o755)
    there.spec.settings["ssh"]["python"] = str(bare)
    assert there.step("command", there.context(), argv=("true",))["exit_code"] == 0
    with pytest.raises(StepFailed, match="the host lacks libpq"):
        there.step("backup", there.context("1/2/x", configuration={"DATABASE_URL": "postgresql://127.0.0.1/none"}))

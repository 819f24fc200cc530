"""The examples of the how-to pages, run with the real curl against the real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from releases.models import Deployment, Evidence, IdempotencyKey
from tests.browser.serving import serving
from tests.releases.gates.asking import alter, walk

from .conftest import token_for

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to"
JUNIT = '<testsuite tests="1"><testcase name="%s"/></testsuite>'
MADE = {  # files that the tools of a pipeline leave behind
    "junit.xml": JUNIT % "u",
    "integration.xml": JUNIT % "i",
    "coverage.xml": '<coverage line-rate="1" lines-covered="10" lines-valid="10"/>',
    "k6.json": '{"metrics": {"http_req_duration": {"p(95)": 120.5}, "http_reqs": {"count": 9}}}',
    "review.json": '{"reviewer": "Somebody Else", "decision": "approved"}',
    "ruff.sarif": '{"version": "2.1.0", "runs": [{"results": []}]}',
}
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page."""
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(world: Any, database: str, tmp_path: Path) -> Any:
    """Return a function: run lines of shell as a pipeline would, with `ci/ringi` as the page writes it."""
    (tmp_path / "ci").mkdir()
    script = tmp_path / "ci" / "ringi"
    script.write_text(blocks("release-from-ci.md", "sh")[0])
    script.chmod(0o755)
    for name, content in MADE.items():
        (tmp_path / name).write_text(content)
    with serving(database, tmp_path / "server.log") as address:
        environment = {
            "PATH": os.environ["PATH"],
            "RINGI_URL": address,
            "RINGI_TOKEN": token_for(world, world.people["ci"]),
            "COMMIT": world.built.commits["v1.3.0"],
            "APPLICATION": "datasets",
            "VERSION": "1.3.0",
            "BUILD": "build-7",
            "REVIEWER": "Somebody Else",
            "AT": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        }

        def run(lines: str, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["/bin/sh", "-ec", lines],
                cwd=tmp_path,
                env=environment | more,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        yield run


def finishing(environment: str, tree: str) -> Callable[[], None]:
    """Stand in for the workers in a thread: walk the scheduled deployment of an environment to its end."""

    def follow() -> None:
        try:
            for _attempt in range(400):
                deployment = Deployment.objects.filter(environment__slug=environment, state="scheduled").first()
                if deployment is not None:
                    alter(deployment, previous={"wanted_tree": tree})
                    walk(deployment, "enqueue", "start", "start_verification", "start_monitoring", "succeed")
                    return
                threading.Event().wait(0.1)
        finally:
            connection.close()

    thread = threading.Thread(target=follow)
    thread.start()
    return thread.join


@pytest.mark.parametrize("page", ["github-actions.md", "gitlab-ci.md"])
def test_the_jobs_bring_a_release_through_staging(world: Any, shell: Any, page: str) -> None:
    """The pipeline stops before production, which is not approved."""
    release = world.planned()
    with world.acting_as("manager"):
        from releases.operations.release.prepare import lock_scope

        lock_scope(release.pk)
    (job,) = blocks(page, "yaml")
    lines = re.findall(r"ci/ringi .*$", job, re.MULTILINE)
    assert len(lines) == 10
    for line in lines:
        _script, verb, *words = line.split()
        join = finishing(words[0], release.tree) if verb == "deploy" else None
        done = shell(line)
        if join is not None:
            join()
        if verb == "start":
            assert done.returncode != 0 and "not_permitted" in done.stdout, done.stdout
        else:
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if verb == "gates":
            assert '"gate": "approval"' in done.stdout
    assert Evidence.objects.count() == 6
    assert Deployment.objects.filter(state="succeeded").count() == 2
    assert not Deployment.objects.filter(environment__tier="production").exists()
    assert IdempotencyKey.objects.count() == 9, "each write had a key of its own"


def test_the_documented_calls_are_answered(world: Any, shell: Any) -> None:
    world.tested()
    examples = blocks("release-from-ci.md", "sh")[1:]
    assert len(examples) == 5
    for example in examples:
        done = shell(example)
        assert done.returncode == 0, f"{example}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.startswith("{"), done.stdout
    assert Deployment.objects.get(state="scheduled").environment.slug == "staging"
    assert Evidence.objects.filter(values__reviewer="Somebody Else").exists()


def test_every_path_of_the_reference_exists_in_the_api() -> None:
    """And every path of the API is in the reference."""
    from releases.api import api

    page = (PAGES.parent / "reference" / "api.md").read_text(encoding="utf-8")
    for path in api.get_openapi_schema()["paths"]:
        short = path.removeprefix("/api/v1").replace("{release_id}", "{id}").replace("{deployment_id}", "{id}")
        last = short.rsplit("/", 1)[1]
        assert f"`GET {short}" in page or f"`POST {short}" in page or f"`…/{last}`" in page or f"`{last}`" in page, (
            short
        )

"""Import of the past releases of a large repository: what would be imported, and the import."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from releases.models import Release
from releases.operations.release.import_tags import look, record
from tests.releases.conftest import World
from tests.releases.gates.asking import alter
from tests.releases.sources.repositories import history

TAGS, COMMITS, SECONDS = 299, 18_000, 3.0  # of wagtail in 2026


def bench_import(world: World, report: Report, tmp_path: Path, quiet: Any) -> None:
    """Read the tags of a repository by path, then import all of them."""
    tags = {f"v{1 + n // 20}.{n % 20}.0": (1 + n * (COMMITS // TAGS), None) for n in range(TAGS)}
    application = alter(world.application, repository=str(history(tmp_path / "old.git", COMMITS, tags)))
    patterns = [application.tag_format]
    with world.acting_as("manager"):
        began = time.perf_counter()
        found, skipped = look(application, patterns)
        looked = time.perf_counter() - began
        began = time.perf_counter()
        done = record(application, patterns, found, skipped, reason="measured")
        imported = time.perf_counter() - began
    there = Release.objects.filter(application=application, state="imported").count()
    for name, seconds in (("preview", looked), ("import", imported)):
        report.add(
            "import",
            f"{name} of {len(found)} tags, {COMMITS:,} commits",
            f"{seconds:.2f} s",
            target=f"≤ {SECONDS:.0f} s",
            met=seconds <= SECONDS,
            valid=len(found) == len(done.made) == TAGS - len(skipped) == there and len(found) > TAGS // 2,
            note=f"{len(skipped)} skipped",
            figures={"seconds": seconds},
        )

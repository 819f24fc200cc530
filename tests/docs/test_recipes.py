"""Each recipe of CONTRIBUTING.md is applied to a copy of the tree, and what it adds works there (recipes_case.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from xml.etree import ElementTree

import pytest

from .recipes import HOW_TO, ROOT, recipes

RECIPES = recipes()
NAMES = ("step type", "check type", "gate", "page", "notification event", "evidence reader")
FOLDERS = ("audit", "config", "environments", "releases", "locale", "docs/how-to", "tests")
MOST_LINES = 15
SECONDS = 900


def test_every_everyday_addition_has_its_recipe() -> None:
    assert sorted(RECIPES) == sorted(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HOW_TO])
def test_a_recipe_is_short(name: str) -> None:
    assert sum(len(block.added) for block in RECIPES[name]) <= MOST_LINES
    assert all(block.path or block.language == "console" for block in RECIPES[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_adds_one_module_and_the_lines_that_register_it(name: str) -> None:
    new = {block.path for block in RECIPES[name] if block.language in ("python", "html")}
    assert not [path for path in new if (ROOT / path).exists()]
    assert len({path for path in new if path.endswith(".py")}) == (name != "notification event")
    changed = [block for block in RECIPES[name] if block.language == "diff"]
    assert all((ROOT / block.path).is_file() for block in changed) and len(changed) <= 3


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return test of recipes_case.py → what went wrong, empty if nothing; run in a copy with all recipes applied."""
    copy = tmp_path_factory.mktemp("recipes") / "tree"
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("chaos", "applications", "node_modules")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored, symlinks=True)
    for file in ("CONTRIBUTING.md", "manage.py", "pyproject.toml"):
        shutil.copy2(ROOT / file, copy / file)
    for blocks in RECIPES.values():
        for block in blocks:
            if block.path or block.language == "console":
                block.apply(copy)
    report = copy / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"]
    command += [f"--junitxml={report}", "-o", f"timeout={SECONDS}", "tests/docs/recipes_case.py"]
    # A template of the database of its own, migrated and filled by the copy.
    environment = {**os.environ, "PYTHONPATH": str(copy), "RINGI_TEST_TEMPLATE": uuid.uuid4().hex}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert report.is_file(), done.stdout[-3000:] + done.stderr[-1000:]
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [part.get("message") or "" for part in case if part.tag in ("failure", "error")]
        texts = [part.text or "" for part in case if part.tag in ("failure", "error", "skipped")]
        found[case.get("name") or ""] = "\n".join([*wrong, *texts])
    return found


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_recipe_adds_works(name: str, outcomes: dict[str, str]) -> None:
    test = "test_" + name.replace(" ", "_")
    own = {case: wrong for case, wrong in outcomes.items() if case.split("[")[0] == test}
    assert own, f"{test} was not run: {outcomes}"
    assert not any(own.values()), "\n".join(own.values())

"""The code of docs/how-to/add-a-step.md, taken from the page and run on a real target's folder."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from environments.targets.base import Fenced, Probe, StepContext, StepFailed, StepType, TargetSpec
from environments.targets.target import holding, journal_lines
from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import default_text
from releases.procedures.values import STEP_TYPES

from .recipes import patched

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-step.md").read_text(encoding="utf-8")
NAME = "releases.step_types.clear_cache"


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def load(name: str, file: Path) -> ModuleType:
    """Import a file under a name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[ModuleType]:
    """The registry of steps as it is after following the page."""
    (block,) = blocks("python")
    file = tmp_path / "clear_cache.py"
    file.write_text(block, encoding="utf-8")
    registry = (ROOT / "releases" / "step_types" / "__init__.py").read_text(encoding="utf-8")
    for diff in blocks("diff"):
        registry = patched(registry, diff)
    changed = tmp_path / "registry.py"
    changed.write_text(registry, encoding="utf-8")
    try:
        load(NAME, file)
        yield load("registry_after_the_page", changed)
    finally:
        sys.modules.pop(NAME, None)
        sys.modules.pop("registry_after_the_page", None)


@pytest.fixture
def known(steps: ModuleType) -> StepType:
    """The new step type, found by its name."""
    found: StepType = steps.by_name("clear_cache")
    return found


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    """A first attempt on a target with two cached files, one of them in a folder."""
    root = tmp_path / "target"
    (root / "shared" / "cache" / "pages").mkdir(parents=True)
    (root / "shared" / "cache" / "pages" / "1.html").write_text("old")
    (root / "shared" / "cache" / "index").write_text("old")
    return StepContext(
        key="1/7/x",
        fencing_token=2,
        deployment_key="deployment:1",
        target=TargetSpec("sample", "production", root),
        repository="",
        wanted=None,
        previous=None,
        configuration={},
        previous_configuration={},
        earlier={},
        deadline_seconds=30,
        output=lambda _chunk: None,
        heartbeat=lambda: None,
    )


def test_the_page_registers_the_type_beside_the_others(steps: ModuleType) -> None:
    from releases.step_types import STEP_TYPES

    names = [step_type.name for step_type in steps.STEP_TYPES]
    assert names == [*(step_type.name for step_type in STEP_TYPES), "clear_cache"]


def test_it_makes_its_effect_once_and_finds_it_again(known: StepType, context: StepContext) -> None:
    parameters = known.parameters()
    cache = context.target.root / "shared" / "cache"
    assert str(cache) in known.describe(context, parameters)[0]
    assert known.probe(context, parameters) == (Probe.NOT_DONE, {})
    assert known.run(context, parameters) == {"entries": 2}
    assert list(cache.iterdir()) == []
    assert known.probe(replace(context, fencing_token=3), parameters) == (Probe.DONE, {"entries": 2})
    assert known.run(replace(context, fencing_token=4), parameters) == {"entries": 2}
    assert len(journal_lines(context.target, key=context.key)) == 1


def test_a_lower_fencing_token_is_fenced(known: StepType, context: StepContext) -> None:
    with holding(replace(context, fencing_token=5)):
        pass
    with pytest.raises(Fenced):
        known.run(context, known.parameters())
    assert len(list((context.target.root / "shared" / "cache").iterdir())) == 2


def test_it_stays_inside_the_target(known: StepType, context: StepContext, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        known.parameters(folder="../outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (context.target.root / "shared" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StepFailed):
        known.run(context, known.parameters(folder="shared/link"))
    assert (tmp_path / "outside" / "kept").exists()


def test_a_procedure_may_name_it_once_its_name_is_among_the_types() -> None:
    (row,) = blocks("toml")
    written = default_text() + row
    with pytest.raises(ProcedureFaults, match="clear_cache"):
        Procedure.from_toml(written)
    taken = Procedure.from_toml(written, step_types=STEP_TYPES | {"clear_cache"})
    assert taken.plans.after_deployment[-1].type == "clear_cache"

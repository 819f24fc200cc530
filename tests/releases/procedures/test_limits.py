"""What a procedure may say, its columns hold: the longest texts and the greatest numbers take effect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from audit.actor import acting
from audit.clock import now
from releases.models import Procedure as Row, Rollback
from releases.operations.procedure import put_into_effect
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from releases.queries.procedure_types import procedure_types
from tests.releases.gates.asking import COMMAND, make
from tests.releases.operations.test_own_roles import in_effect

# Texts of people, and names that the document chooses itself and uses in one place only.
TEXTS = {"ja", "en", "name_ja", "name_en"}


def limit(model: type[BaseModel], name: str) -> int:
    """Return the greatest length of a text field."""
    lengths = [found for part in model.model_fields[name].metadata if (found := getattr(part, "max_length", None))]
    return min(lengths)


def longest(value: Any) -> Any:
    """Return JSON of a part with each text as long as it may be."""
    if isinstance(value, BaseModel):
        return {name: _longest(value, name) for name in type(value).model_fields if name in value.model_dump()}
    if isinstance(value, tuple | list):
        return [longest(one) for one in value]
    return value


def _longest(part: BaseModel, name: str) -> Any:
    found = getattr(part, name)
    if name in TEXTS and isinstance(found, str):
        return found.ljust(limit(type(part), name), "字")
    return longest(found) if isinstance(found, BaseModel | tuple | list) else found


def largest() -> Content:
    """The default with the longest texts and keys, and the greatest numbers that columns keep."""
    raw = longest(default())
    raw["version"] = raw["history"][-1]["version"] = "9.0.0-" + "x" * 34
    raw["environments"][-1]["order"] = 1000
    raw["schedule"]["regular"]["length_minutes"] = 7 * 24 * 60
    raw["triggers"][-1]["key"] = "t" * 60
    raw["checklist"][0]["key"] = "c" * 60
    raw["roles"].append({"key": "r" * 60, "based_on": "tester", "account": "person", "ja": "役", "en": "Role"} | ORIGIN)
    raw["final_check"]["signers"] = ["release_manager", "r" * 60]
    return Content.checked(raw, **procedure_types())


ORIGIN = {"origin": "default"}


def test_the_longest_texts_and_the_greatest_numbers_take_effect_and_are_planned_with(world: Any) -> None:
    in_effect(world, largest(), office="")
    active = Row.objects.get(state="in_effect")
    assert len(active.version) == 40
    release = world.tested("1.3.0", risk="low")
    assert release.procedure == active
    assert {len(item.label_ja) for item in release.checklist.all()} == {200}
    deployment = release.deployments.filter(environment__slug="staging").first()
    rollback = make(Rollback, deployment=deployment, cause="t" * 60, raised_at=now())
    assert Rollback.objects.get(pk=rollback.pk).cause == "t" * 60


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("environments", 0, "name_en"), "x" * 61),
        (("environments", 0, "key"), "x" * 51),
        (("environments", 0, "order"), 40000),
        (("schedule", "regular", "name", "ja"), "字" * 101),
        (("schedule", "regular", "length_minutes"), 99_999),
        (("version",), "1.0.0-" + "x" * 35),
        (("plans", "deployment", 0, "ja"), "字" * 201),
        (("approval_rules", 2, "number"), 101),
        (("milestones", 0, "days_before"), 367),
        (("notification_rules", 0, "event"), "release:confirmed"),
    ],
)
def test_what_no_column_holds_is_refused_with_its_place(place: tuple[str | int, ...], value: Any) -> None:
    raw = default().model_dump(mode="json")
    here: Any = raw
    for part in place[:-1]:
        here = here[part]
    here[place[-1]] = value
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    with pytest.raises(ProcedureFaults) as caught:
        Content.checked(raw, **procedure_types())
    assert dotted in {fault.place for fault in caught.value.faults}


def test_the_default_is_within_its_limits(world: Any) -> None:
    with acting(COMMAND):
        assert put_into_effect.load(Content.checked(default().model_dump(mode="json"), **procedure_types()), reason="x")

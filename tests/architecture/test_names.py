"""What the database, the state machines and the ledger are called keeps to the vocabulary too."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from django.apps import apps

from releases.state_machines.edges import edges
from releases.state_machines.guard import machines

from .files import APPS, ROOT

# Words of names that the vocabulary gives up; a name is read word by word.
GIVEN_UP = frozenset(
    {
        "absent",
        "absolute",
        "adopt",
        "amend",
        "applicant",
        "compressed",
        "conclude",
        "concluded",
        "consent",
        "consumed",
        "deputies",
        "deputy",
        "doubt",
        "drop",
        "duty",
        "epoch",
        "falter",
        "faltered",
        "forward",
        "handed",
        "judge",
        "judged",
        "lapse",
        "lay",
        "notice",
        "notices",
        "obligation",
        "obligations",
        "outside",
        "preauthorised",
        "press",
        "pressed",
        "propose",
        "proposed",
        "question",
        "questions",
        "reseal",
        "roster",
        "rounds",
        "samples",
        "sealed",
        "sentence",
        "settle",
        "settled",
        "silence",
        "switch",
        "tested",
        "unanswered",
        "unclear",
        "verdict",
        "void",
        "watch",
        "watches",
    }
)


def names() -> Iterator[tuple[str, str]]:
    """Yield (where, name) of every field, relation, constraint, index, state, transition and operation."""
    for model in apps.get_models():
        if model._meta.app_label not in APPS or model.__name__.startswith("Historical"):
            continue
        yield from ((model.__name__, field.name) for field in model._meta.get_fields())
        yield from ((model.__name__, one.name) for one in (*model._meta.constraints, *model._meta.indexes))
        for field in model._meta.fields:
            yield from ((f"{model.__name__}.{field.name}", str(value)) for value, _label in field.flatchoices)
    for machine in machines():
        yield from ((machine.__name__, edge.verb) for edge in edges(machine))
    with (ROOT / "audit" / "operation_roles.toml").open("rb") as file:
        for noun, verbs in tomllib.load(file).items():
            yield from (("operation", f"{noun}_{verb}") for verb in verbs)


def test_no_name_uses_a_word_that_the_vocabulary_gives_up() -> None:
    found = set(names())
    assert len(found) > 1000
    assert (
        sorted(f"{where}: {name}" for where, name in found if GIVEN_UP & set(name.replace(":", "_").split("_"))) == []
    )

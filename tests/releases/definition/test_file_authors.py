"""The author of a document in files stays its author until that text is in effect, also when others load it again."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.urls import reverse

from audit.actor import acting
from audit.refusals import InvalidInput, NotPermitted
from environments.models import Application
from releases.models import Definition, DeploymentProcess, Procedure
from releases.operations.application.create import create_application
from releases.operations.approval.decide import approve
from releases.operations.definition.load import load
from releases.operations.deployment_process.create import create
from releases.operations.deployment_process.put_into_effect import submit as submit_process
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types
from tests.releases.definition.test_definition import HISTORY, PROCESS, SHOP, acts, exported
from tests.releases.gates.asking import COMMAND


def _create_shop(world: Any) -> Application:
    with world.acting_as("manager"):
        shop = create_application(slug="shop", name="Shop", repository="https://git.example/shop.git")
        load({"applications/shop.toml": SHOP}, reason="without the process")
    return shop


def _approved(world: Any, asked: Any) -> None:
    for who in ("committee_a", "committee_b"):
        with world.acting_as(who):
            approve(asked.pk, digest=asked.digest)


def _drafted(world: Any, text: str) -> Any:
    """Let the manager load a process, tick its draft, and request its approval."""
    with world.acting_as("manager"):
        load({"applications/shop.toml": SHOP, "processes/shop.toml": text}, reason="a comment more")
        for event in ("deployment_process:create", "deployment_process:submit"):
            (act,) = (act for act in acts({"processes/shop.toml": text}) if act.event == event)
            asked = act.run("as the folder says")
    return asked


def test_a_version_that_people_made_ends_no_authorship_of_the_files(world: Any) -> None:
    """What one person wrote in a file that another has loaded again stays theirs until it is in effect."""
    shop, longer = _create_shop(world), PROCESS.replace("estimate_seconds = 5", "estimate_seconds = 7", 1)
    with world.acting_as("author_on_committee"):
        load({"applications/shop.toml": SHOP, "processes/shop.toml": longer}, reason="longer")
    with world.acting_as("manager"):
        load({"applications/shop.toml": SHOP, "processes/shop.toml": f"{longer}\n# why"}, reason="a comment")
        content = Process.from_toml(PROCESS, Procedure.objects.of(shop).document, set(), **procedure_types())
        _approved(world, submit_process(create(application_id=shop.pk, content=content, reason="x").pk, reason="x"))
    author = world.people["author_on_committee"].pk
    asked = _drafted(world, f"{longer}\n# why not")
    assert asked.process.writers == [author]
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        approve(asked.pk, digest=asked.digest)
    _approved(world, asked)
    assert _drafted(world, PROCESS).process.writers == [], "what is in effect was approved"


def test_what_was_loaded_while_the_version_before_waited_is_its_authors(world: Any) -> None:
    _create_shop(world)
    first, files = world.people["developer"].pk, {"applications/shop.toml": SHOP, "processes/shop.toml": PROCESS}
    with acting(COMMAND):
        load(files, reason="first", writers=[first])
    waits = _drafted(world, f"{PROCESS}\n# why")
    assert waits.process.writers == [first]
    with world.acting_as("author_on_committee"):
        longer = PROCESS.replace("estimate_seconds = 5", "estimate_seconds = 7", 1)
        load({"applications/shop.toml": SHOP, "processes/shop.toml": longer}, reason="longer")
    _approved(world, waits)
    later = _drafted(world, f"{longer}\n# why").process.writers
    assert later == [world.people["author_on_committee"].pk], "those of the version in effect do not count"


TITLE, PAST = "procedure/1-01-introduction.toml", "procedure/8-01-history.toml"


def _versioned(files: dict[str, str], number: str) -> dict[str, str]:
    titled = re.sub(r'^version = "[^"]*"', f'version = "{number}"', files[TITLE], count=1, flags=re.MULTILINE)
    return files | {TITLE: titled, PAST: files[PAST] + HISTORY.replace("99.0.0", number)}


def _ticked(world: Any, files: dict[str, str]) -> Any:
    """Let the manager tick the draft of the files, and request its approval."""
    with world.acting_as("manager"):
        for _event in ("procedure:load", "procedure:submit"):
            (act,) = acts(files)
            asked = act.run("as the folder says")
    return asked


def test_an_author_of_a_procedure_that_is_in_effect_is_none_of_the_next(world: Any) -> None:
    """What an installation marks as its own makes no difference between the files and the version in effect."""
    files, wrote = {name: text for name, text in exported().items() if name.startswith("procedure/")}, list[Any]()
    for number, who in (("98.0.0", "author_on_committee"), ("99.0.0", "manager")):
        files = _versioned(files, number)
        with world.acting_as(who):
            load(files, reason=number)
        asked = _ticked(world, files)
        wrote.append(asked.procedure.writers)
        _approved(world, asked)
    assert wrote == [[world.people["author_on_committee"].pk], []]


def test_who_leaves_out_a_file_is_an_author_of_what_is_left(world: Any) -> None:
    """One person removes a section; another one, who has not seen it, gives what is left its version."""
    files = {name: text for name, text in exported().items() if name.startswith("procedure/")}
    left = {name: text for name, text in files.items() if name != "procedure/2-03-reminders.toml"}
    assert len(left) == len(files) - 1
    for who, given in (("manager", files), ("author_on_committee", left), ("manager", _versioned(left, "98.0.0"))):
        with world.acting_as(who):
            load(given, reason="x")
    assert _ticked(world, _versioned(left, "98.0.0")).procedure.writers == [world.people["author_on_committee"].pk]


def test_who_is_named_when_others_load_a_file_is_its_author(world: Any) -> None:
    """A command has no person of its own, and a person may load what another one wrote."""
    _create_shop(world)
    named, shop = world.people["author_on_committee"].pk, {"applications/shop.toml": SHOP}
    with acting(COMMAND):
        with pytest.raises(InvalidInput, match="those who wrote the change"):
            load(shop | {"processes/shop.toml": PROCESS}, reason="commit 4e1f")
        load(shop | {"processes/shop.toml": PROCESS}, reason="commit 4e1f", writers=[named])
    asked = _drafted(world, f"{PROCESS}\n# why")
    assert asked.process.writers == [named]
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        approve(asked.pk, digest=asked.digest)


def test_a_page_takes_the_authors_beside_the_person(world: Any, browsers: Any) -> None:
    shop = _create_shop(world)
    named = world.people["author_on_committee"].pk
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("processes/shop.toml", PROCESS)
    manager = browsers("manager")
    for address, document in (
        (reverse("operation-new", args=["definition", "load"]), {"archive": ContentFile(packed.getvalue(), "d.zip")}),
        (reverse("operation", args=["deployment_process", "create", shop.pk]), {"content": PROCESS}),
    ):
        answer = manager.post(address, {**document, "writers": [named], "reason": "commit 4e1f"})
        assert answer.status_code == 302, answer.content.decode()[:3000]
    assert {named, world.people["manager"].pk} == Definition.objects.get(number=2).writers_of("processes/", None)
    assert DeploymentProcess.objects.get(application=shop).writers == [named]

"""An application is named, and later moved to another repository, unless a release depends on the present one."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, SignatureRequired
from environments.models import Application
from releases.operations.application.create import create_application
from releases.operations.application.edit import edit
from tests.releases.gates.asking import walk

MOVED = {"name": "Datasets", "repository": "https://git.example/datasets.git", "tag_format": "datasets-{version}"}


def test_an_invalid_application_is_refused(world: Any) -> None:
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="already"):
            create_application(slug=world.application.slug, name="Other", repository="/srv/x.git")
        with pytest.raises(InvalidInput, match="version"):
            create_application(slug="other", name="Other", repository="/srv/x.git", tag_format="release")
        with pytest.raises(InvalidInput, match="http is allowed only for a repository on this host; use https"):
            create_application(slug="other", name="Other", repository="http://git.example/x.git")


def test_a_repository_changes_with_a_reason_and_a_signature(world: Any) -> None:
    pk = world.application.pk
    with world.acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        edit(pk, **MOVED, reason="the host moved")
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        edit(pk, **MOVED, reason="the host moved")
    with world.acting_as("manager"):
        for wrong, message in (
            ({"reason": " "}, "Enter a reason"),
            ({"repository": "https://u:p@git.example/x.git"}, "Do not put a password in the address"),
            ({"tag_format": "v"}, "is not a pattern"),
        ):
            with pytest.raises(InvalidInput, match=message):
                edit(pk, **{**MOVED, "reason": "the host moved", **wrong})
        edit(pk, **MOVED, reason="the host moved")
    assert Application.objects.values("name", "repository", "tag_format").get(pk=pk) == MOVED
    assert Event.objects.get(operation="application:edit", outcome="done").reason == "the host moved"


def test_a_release_with_locked_scope_keeps_its_repository(world: Any) -> None:
    release = world.planned()
    pk = world.application.pk
    with world.acting_as("manager"):
        edit(pk, **MOVED, reason="a draft only")
    for edge in ("lock_scope", "complete_testing", "submit", "mark_approved", "complete_final_check", "start"):
        walk(release, edge)
        with world.acting_as("manager"):
            with pytest.raises(GateNotPassed, match=r"scope of .* is locked, so the repository and the tag"):
                edit(pk, **{**MOVED, "repository": "/srv/other.git"}, reason="elsewhere")
            edit(pk, **{**MOVED, "name": edge}, reason="a name is only a name")
        assert Application.objects.get(pk=pk).name == edge
    walk(release, "start_monitoring")
    with world.acting_as("manager"):
        edit(pk, **{**MOVED, "repository": "/srv/other.git"}, reason="it is out")

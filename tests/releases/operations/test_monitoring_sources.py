"""The metric sources of a target are checked when they are entered, and tried before they are saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, SignatureRequired
from releases.operations.application.create import create_application
from releases.operations.target.set_settings import create_target, set_metric_sources
from releases.operations.target.test_monitoring import try_sources
from tests.releases.metric_sources.pages import Page, Site, site

LOAD = {"source": "json_http", "parameters": {"values": {"resource_use": "load"}}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"metric_sources": [{"source": "graphite"}]}, "graphite"),
    ({"metric_sources": [{"source": "json_http", "parameters": {"values": {"Bad": "x"}}}]}, "metric_sources.0"),
    ({"metric_sources": {}}, "list"),
    (
        {"metric_sources": [{"source": "command", "parameters": {"argv": ["/bin/sh"], "values": {"x": "x"}}}]},
        "of the release",
    ),
    (
        {"metric_sources": [{"source": "command", "parameters": {"argv": ["{tree}/../x"], "values": {"x": "x"}}}]},
        "of the release",
    ),
    ({"private_networks": "10.0.0.0/8"}, "private_networks"),
    ({"private_networks": ["10.0.0.1/8"]}, "private_networks"),
    ({"private_networks": ["everything"]}, "private_networks"),
]


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def test_invalid_options_are_refused_on_entry(world: Any) -> None:
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository=world.application.repository)
        where = {"application_id": other.pk, "environment_id": world.environments["staging"].pk, "root": "/srv/other"}
        for settings, said in WRONG:
            with pytest.raises(InvalidInput, match=said):
                create_target(**where, settings=settings)
        assert create_target(**where, settings={"metric_sources": [LOAD]}).options == {"metric_sources": [LOAD]}


def test_metric_sources_are_selected_by_people_who_configure_targets(world: Any) -> None:
    target = world.targets["staging"]
    for name in ("auditor", "developer", "committee_a", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            set_metric_sources(target.pk, sources=[LOAD], reason="cause")
    with world.acting_as("operator"):
        for settings, said in WRONG[:4]:
            with pytest.raises(InvalidInput, match=said):
                set_metric_sources(target.pk, sources=settings["metric_sources"], reason="cause")
        with pytest.raises(InvalidInput):
            set_metric_sources(target.pk, sources=[LOAD], private_networks=["nowhere"], reason="cause")
        with pytest.raises(InvalidInput):
            set_metric_sources(target.pk, sources=[LOAD], reason=" ")
        set_metric_sources(target.pk, sources=[LOAD], private_networks=["10.1.0.0/16"], reason="the page has moved")
    kept = world.fresh(target).options
    assert (kept["metric_sources"], kept["private_networks"]) == ([LOAD], ["10.1.0.0/16"])


def test_a_trial_measurement_is_shown_before_sources_are_saved(world: Any, pages: Site, browsers: Any) -> None:
    pages.pages["/own"] = [Page('{"load": 0.25}')]
    target = world.targets["staging"]
    own = {**LOAD, "parameters": {"url": f"{pages.base}/own", "values": {"resource_use": "load"}}}
    with world.acting_as("operator"):
        assert try_sources(target.pk, sources=[own], private_networks=["127.0.0.1"]).values == {"resource_use": 0.25}
        assert try_sources(target.pk, sources=[own]).errors == {
            "json_http": "127.0.0.1 is a private address that the target does not list"
        }
        with pytest.raises(InvalidInput):
            try_sources(target.pk, sources=[])
    form = {"sources": json.dumps([own]), "private_networks": "127.0.0.1", "reason": "x"}
    shown = browsers("operator").post(f"/admin/operation/target/set_monitoring/{target.pk}/", form)
    assert shown.status_code == 200 and b"25%" in shown.content and "metric_sources" not in world.fresh(target).options


def test_sources_on_several_lines_are_confirmed_once(world: Any, pages: Site, browsers: Any) -> None:
    pages.pages["/own"] = [Page('{"load": 0.25}')]
    target = world.targets["staging"]
    own = {**LOAD, "parameters": {"url": f"{pages.base}/own", "values": {"resource_use": "load"}}}
    # As a browser sends the typed text, and then the text that the page showed.
    typed = json.dumps([own], indent=3).replace("\n", "\r\n")
    form = {"sources": typed, "private_networks": "127.0.0.1\r\n", "reason": "x"}
    client, address = browsers("operator"), f"/admin/operation/target/set_monitoring/{target.pk}/"
    html = client.post(address, form).content.decode()
    (shown,) = re.findall(r'<textarea name="sources"[^>]*>\s*(.*?)</textarea>', html, re.DOTALL)
    (confirmed,) = re.findall(r'name="confirmed" value="([0-9a-f]{64})"', html)
    form |= {"sources": unescape(shown).replace("\n", "\r\n"), "private_networks": "127.0.0.1", "confirmed": confirmed}
    assert shown.count("\n") > 5, "it stays on its lines"
    assert client.post(address, form).status_code == 302
    assert world.fresh(target).options["metric_sources"] == [own]


def test_a_trial_measurement_is_an_operation_with_a_right_and_starts_no_program(
    world: Any, pages: Site, tmp_path: Any
) -> None:
    pages.pages["/own"] = [Page('{"load": 0.25}')]
    target = world.targets["staging"]
    own = {**LOAD, "parameters": {"url": f"{pages.base}/own", "values": {"resource_use": "load"}}}
    for name in ("developer", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            try_sources(target.pk, sources=[own], private_networks=["127.0.0.1"])
    with world.acting_as("operator", proved=False), pytest.raises(SignatureRequired):
        try_sources(target.pk, sources=[own], private_networks=["127.0.0.1"])
    assert not pages.asked, "nothing was asked for them"
    program = {"source": "command", "parameters": {"argv": ["{tree}/mark", str(tmp_path)], "values": {"jobs": "n"}}}
    with world.acting_as("operator"):
        looked = try_sources(target.pk, sources=[own, program], private_networks=["127.0.0.1"])
    assert looked.values == {"resource_use": 0.25} and not looked.errors
    assert Event.objects.filter(operation="target:test_monitoring", outcome="done").count() == 1

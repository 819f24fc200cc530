"""The form of a call: bodies have one meaning, HEAD works where GET does, and answers use the caller's language."""

from __future__ import annotations

import json
import re
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from releases.models import Deployment, EmergencyStop, Evidence, Release
from tests.releases.gates.asking import alter

from .conftest import ask, token_for

PLAN = {"application": "datasets", "version": "1.3.0", "title": "Tags"}


@pytest.mark.parametrize(
    "title", ["", "  ", "\u3000", "\u200b", "\u202e", "safe\u202etxt", "a\u2066b", "\u3164", "a\u2028b"]
)
def test_a_title_with_hidden_characters_is_refused(world: Any, managing: str, title: str) -> None:
    refused = ask("post", "/releases", PLAN | {"title": title}, token=managing)
    assert refused.status_code == 422 and "title" in refused.json()["detail"]
    release = world.planned()
    refused = ask("post", f"/releases/{release.pk}/edit", {"title": title}, token=managing)
    assert refused.status_code == 422 and world.fresh(release).title == release.title
    assert not Release.objects.filter(title=title).exists()


def test_a_title_is_stripped_and_normalised(world: Any, managing: str) -> None:
    made = ask("post", "/releases", PLAN | {"title": " Cafe\u0301 👩‍💻　"}, token=managing)
    assert made.json()["title"] == "Café 👩‍💻"


def test_an_unknown_field_is_refused_by_name(world: Any, managing: str) -> None:
    refused = ask("post", "/releases", PLAN | {"titel": "x"}, token=managing)
    assert refused.status_code == 422 and "titel" in str(refused.json()["errors"])
    release = world.planned()
    refused = ask("post", f"/releases/{release.pk}/cancel", {"reason": "x", "force": True}, token=managing)
    assert refused.status_code == 422 and world.fresh(release).state == "draft"


def test_an_unknown_form_field_is_refused_by_name(world: Any, call: Any) -> None:
    form = {
        "application": "datasets",
        "environment": "staging",
        "kind": "junit",
        "commit": "v1.3.0",
        "tset_type": "unit",
    }
    refused = call("post", "/evidence", form | {"file": BytesIO(b"<testsuite/>")})
    assert refused.status_code == 422 and refused.json()["errors"][0]["where"] == "form.tset_type"
    form["test_type"] = form.pop("tset_type")
    for more, where in (
        ({"files": BytesIO(b"<testsuite/>")}, "file.files"),
        ({"kind": ["file", "junit"]}, "form.kind"),
    ):
        refused = call("post", "/evidence", form | {"file": BytesIO(b"<testsuite/>")} | more)
        assert refused.status_code == 422 and refused.json()["errors"][0]["where"] == where
    assert not Evidence.objects.exists()


def test_an_unknown_parameter_is_refused_by_name_on_every_path(world: Any, call: Any) -> None:
    """A misspelled filter is no filter: its rows would pass for the wanted ones."""
    known = {"application": "datasets", "environment": "staging", "version": "1.3.0", "permission": "start"}
    known |= {"since": "2026-01-01T00:00:00Z"}
    refusing = 0
    for path, methods in call("get", "/openapi.json").json()["paths"].items():
        where = re.sub(r"{(\w+)}", lambda name: known.get(name[1], "1"), path.removeprefix("/api/v1"))
        for method, described in methods.items():
            needed = [p["name"] for p in described["parameters"] if p["in"] == "query" and p["required"]]
            asked = urlencode({name: known[name] for name in needed} | {"stage": "draft"})
            refused = call(method, f"{where}?{asked}", None if method == "get" else {})
            assert refused.status_code == 422, (method, path)
            places = {error["where"] for error in refused.json()["errors"]}
            # Of a call that lacks fields of its body these are named first.
            assert places == {"query.stage"} or all(place.startswith(("body.", "form.", "file.")) for place in places)
            refusing += "query.stage" in places
    assert refusing > 25


def test_a_stop_of_one_application_that_is_named_in_the_wrong_place_stops_none(world: Any, managing: str) -> None:
    refused = ask("post", "/emergency-stop/activate?application=datasets", {"reason": "x"}, token=managing)
    assert refused.status_code == 422 and "query.application" in refused.json()["reasons"][0]
    assert not EmergencyStop.objects.exists()


@pytest.mark.parametrize(
    "asked",
    [
        "/releases?state=",
        "/releases?application=",
        "/releases?state=draft&state=approved",
        "/deployments?state=",
        "/deployments?environment=",
        "/deployments?release=",
        "/evidence?commit=",
        "/evidence?kind=",
        "/evidence?commit=v1.3.0",
        "/artefacts?commit=",
        "/artefacts?commit=1a2b3c4d",
    ],
)
def test_a_filter_without_one_value_is_refused(world: Any, call: Any, asked: str) -> None:
    """A tag or a short ID is of no row: an empty list would say that there is no evidence."""
    refused = call("get", asked)
    name = asked.partition("?")[2].partition("=")[0]
    assert refused.status_code == 422 and name in refused.json()["reasons"][0]
    assert refused.json()["detail"]


def test_a_duplicate_key_is_refused(world: Any, managing: str) -> None:
    body = json.dumps(PLAN)[:-1] + ', "version": "9.9.9"}'
    refused = ask("post", "/releases", body, token=managing, raw=True)
    assert refused.status_code == 400 and "“version” occurs twice" in refused.json()["detail"]
    assert not Release.objects.exists()


def test_a_body_without_json_content_type_is_refused(world: Any, managing: str) -> None:
    client = Client(headers={"authorization": f"Bearer {managing}", "accept-language": "en"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        refused = client.generic("POST", "/api/v1/releases", json.dumps(PLAN), content_type=kind)
        assert refused.status_code == 415 and kind in refused.json()["detail"], kind
        assert refused.json()["type"] == "about:blank#unsupported_media_type"
    for kind in ("application/json; charset=utf-8", "application/merge-patch+json"):
        taken = client.generic("POST", "/api/v1/releases", json.dumps(PLAN), content_type=kind)
        assert taken.status_code in (200, 422), kind
    assert Release.objects.count() == 1


def test_a_body_that_a_lost_connection_has_cut_is_refused(world: Any) -> None:
    """The web server passes it on as it came."""
    secret = token_for(world, world.people["ci"])
    files = [SimpleUploadedFile(name, b"SF:a.py\nDA:1,1\nend_of_record\n" * 4000) for name in ("one.info", "two.info")]
    form = {"application": "datasets", "environment": "staging", "kind": "coverage", "commit": "v1.3.0", "file": files}
    whole = encode_multipart(BOUNDARY, form)
    client = Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)

    def send(path: str, body: bytes, announced: int, kind: str) -> Any:
        more: dict[str, Any] = {"CONTENT_LENGTH": str(announced), "wsgi.input": BytesIO(body)}
        return client.generic("POST", f"/api/v1{path}", b"-", content_type=kind, **more)

    for cut in (len(whole) - 5, whole.index(b"two.info") + 2000, whole.index(b"two.info"), 100, 0):
        refused = send("/evidence", whole[:cut], len(whole), MULTIPART_CONTENT)
        assert refused.status_code == 400 and refused.json()["type"] == "about:blank#malformed", cut
        assert not Evidence.objects.exists(), cut
    body = json.dumps({"reason": "why"}).encode() + b" " * 9
    assert send("/emergency-stop/activate", body[:-5], len(body), "application/json").status_code == 400
    assert send("/evidence", whole, len(whole), MULTIPART_CONTENT).status_code == 200
    assert Evidence.objects.count() == 2


def test_a_get_path_answers_head_without_a_body(world: Any, managing: str) -> None:
    client = Client(headers={"authorization": f"Bearer {managing}"})
    for path in ("/releases", f"/releases/{world.planned().pk}", "/emergency-stop"):
        got, head = client.get(f"/api/v1{path}"), client.head(f"/api/v1{path}")
        assert (head.status_code, head.content) == (200, b"") and head["Content-Type"] == got["Content-Type"]
    assert client.head("/api/v1/ci/deployments").status_code == 405
    assert Client().head("/api/v1/releases").status_code == 401


def test_enumerated_values_are_described_as_such(world: Any, managing: str) -> None:
    described = ask("get", "/openapi.json", token=managing).json()
    schemas = described["components"]["schemas"]
    assert schemas["ReleaseOut"]["properties"]["state"]["enum"] == list(Release.State.values)
    assert schemas["DeploymentLine"]["properties"]["state"]["enum"] == list(Deployment.State.values)
    assert "junit" in schemas["EvidenceOut"]["properties"]["kind"]["enum"]
    (verb,) = [p for p in described["paths"]["/api/v1/permissions"]["get"]["parameters"] if p["name"] == "permission"]
    assert "start" in verb["schema"]["enum"]


def test_a_form_is_described_with_its_own_fields_and_a_required_file(world: Any, managing: str) -> None:
    described = ask("get", "/openapi.json", token=managing).json()["paths"]["/api/v1/evidence"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["additionalProperties"] is False and form["properties"]["file"]["minItems"] == 1


def test_the_api_answers_in_the_requested_language_or_the_accounts_own(world: Any) -> None:
    ci = world.people["ci"]
    secret = token_for(world, ci)
    for asked, own, said in (
        (None, "en", "The requested release does not exist."),
        (None, "ja", None),
        ("en", "ja", "The requested release does not exist."),
        ("ja", "en", None),
    ):
        alter(ci, language=own)
        headers = {"authorization": f"Bearer {secret}"} | ({"accept-language": asked} if asked else {})
        answer = Client(headers=headers).get("/api/v1/releases/4711")
        assert answer.status_code == 404 and answer["Content-Language"] == (asked or own)
        assert (answer.json()["detail"] == "The requested release does not exist.") == (said is not None), (asked, own)

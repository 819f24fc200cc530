"""The definition on its page: loaded from a ZIP file, and its changes made by those who may."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.urls import reverse

from audit.models import Event
from environments.models import Account, Application
from releases.admin.pages.definition import page
from releases.models import Definition, GroupRecipient
from releases.operations.application.edit import edit
from tests.conftest import PASSWORD
from tests.releases.definition.test_definition import SHOP

OLD = [{"method": "password", "at": 1.0}]
FILES = {"applications/shop.toml": SHOP, "README.md": "not read"}


def _zip(files: Mapping[str, str]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    packed.seek(0)
    packed.name = "definition.zip"
    return packed


def _bomb(compression: int) -> io.BytesIO:
    """Return an archive whose file is a thousand times as long as its directory says."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("applications/shop.toml", " " * 1_000_000)
        archive.infolist()[0].file_size = 1000
    packed.seek(0)
    return packed


def _load(client: Any, files: Mapping[str, str], exported: bool = True) -> Any:
    own = _read(client) if exported else {}
    return client.post(
        reverse("operation-new", args=["definition", "load"]),
        {"archive": _zip({**own, **files}), "reason": "commit 4e1f"},
    )


def _read(client: Any) -> dict[str, str]:
    answer = client.get(reverse("definition-export"))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def _offered(client: Any) -> dict[str, str]:
    """Return act → key of those that the page offers."""
    page = client.get(reverse("definition")).content.decode()
    return {
        " ".join(re.sub(r"<[^>]+>|✍", "", words).split()): key
        for key, words in re.findall(r'name="act" value="([0-9a-f]+)">(.*?)</label>', page, re.DOTALL)
    }


def test_a_definition_is_loaded_read_and_carried_out(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    assert "No definition was loaded" in client.get(reverse("definition")).content.decode()
    answer = _load(client, FILES)
    assert (answer.status_code, answer.url) == (302, reverse("definition"))
    assert Definition.objects.get().author == Account.objects.get(username="manager")
    assert "README.md" not in Definition.objects.get().files
    offered = _offered(client)
    assert list(offered) == ["Create application – shop"]
    page = client.get(reverse("definition")).content.decode()
    assert "https://git.example/shop.git" in page and "does not exist yet" in page
    answer = client.post(reverse("definition"), {"act": list(offered.values()), "reason": "as reviewed"})
    assert answer.status_code == 302 and Application.objects.get(slug="shop").group == "web"
    event = Event.objects.get(operation="application:create", reason="as reviewed", outcome="done")
    assert event.actor.startswith("person:")
    assert sorted(_offered(client)) == [
        "Register deployment target – shop · development · main",
        "Set document branch – shop",
    ]


def test_one_proof_of_identity_is_for_all_that_is_ticked(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    files = {"applications/shop.toml": SHOP, "applications/shop2.toml": SHOP.replace("Shop", "Second")}
    files["recipients.toml"] = '[[recipients]]\ngroup = "development_team"\naccount = "operator"\n'
    _load(client, files)
    session = client.session
    session["account_authentication_methods"] = OLD
    session.save()
    answer = client.post(reverse("definition"), {"act": list(_offered(client).values()), "reason": "both"})
    assert answer.status_code == 302 and "reauthenticate" in answer.url
    assert not GroupRecipient.objects.filter(account__username="operator", removed_at=None).exists()
    kept = client.session[STATE_SESSION_KEY]
    assert len(set(kept["contents"])) == 2
    said = dict(kept["acts"])
    assert list(said) == ["Create application: shop", "Create application: shop2"]
    assert (
        "name: — → Second" in said["Create application: shop2"] and "reason: both" in said["Create application: shop2"]
    )
    assert not Application.objects.filter(slug__startswith="shop").exists()
    client.post(answer.url, {"password": PASSWORD})
    assert Application.objects.filter(slug__startswith="shop").count() == 2
    assert GroupRecipient.objects.filter(account__username="operator", removed_at=None).exists()


def test_an_archive_with_a_folder_around_it_is_read(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    files = {f"shop-4e1f9a/{name}": text for name, text in FILES.items()}
    assert _load(client, files, exported=False).status_code == 302
    assert list(Definition.objects.get().files) == ["applications/shop.toml"]


def test_only_those_who_may_are_offered_an_act(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    _load(browsers("manager"), FILES)
    auditor = browsers("auditor")
    assert _offered(auditor) == {} and "shop" in auditor.get(reverse("definition")).content.decode()
    key = next(iter(_offered(browsers("manager")).values()))
    answer = auditor.post(reverse("definition"), {"act": [key], "reason": "in secret"})
    assert answer.status_code == 302 and not Application.objects.filter(slug="shop").exists()
    assert browsers("outsider").get(reverse("definition")).status_code == 403
    assert browsers("outsider").get(reverse("definition-export")).status_code == 403
    assert _load(auditor, FILES, exported=False).status_code == 403
    refused = Event.objects.filter(outcome="refused", operation__startswith="definition:").order_by("at")
    assert [event.operation for event in refused] == ["definition:make_changes", "definition:load"]


def test_what_has_changed_since_it_was_shown_is_not_done(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    _load(client, FILES)
    shown = list(_offered(client).values())
    _load(client, {"applications/shop.toml": SHOP.replace("git.example", "other.example")})
    answer = client.post(reverse("definition"), {"act": shown, "reason": "as reviewed"}, follow=True)
    assert "has changed in the meantime" in answer.content.decode()
    assert not Application.objects.filter(slug="shop").exists()


def test_what_somebody_changes_meanwhile_is_not_overwritten(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change arrives when the plan has been compared, before the operation holds the row."""
    client = browsers("manager")
    _load(client, FILES)
    client.post(reverse("definition"), {"act": list(_offered(client).values()), "reason": "as reviewed"})
    (shop,) = Application.objects.filter(slug="shop")
    _load(client, {"applications/shop.toml": SHOP.replace("git.example", "other.example")})
    shown = [key for act, key in _offered(client).items() if act.startswith("Change name")]
    assert len(shown) == 1, _offered(client)
    given, theirs = page.submit, "https://git.example/theirs.git"

    def afterwards(*asked: Any) -> Any:
        monkeypatch.setattr(page, "submit", given)
        with acting_as("manager"):
            edit(shop.pk, name=shop.name, repository=theirs, tag_format=shop.tag_format, reason="moved")
        return given(*asked)

    monkeypatch.setattr(page, "submit", afterwards)
    answer = client.post(reverse("definition"), {"act": shown, "reason": "as reviewed"}, follow=True)
    assert "has changed in the meantime" in answer.content.decode()
    shop.refresh_from_db()
    assert shop.repository == theirs


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (lambda: io.BytesIO(b"PK no"), "not a ZIP file"),
        (lambda: _zip({"README.md": "x"}), "contains no TOML"),
        (lambda: _bomb(zipfile.ZIP_BZIP2), "not a ZIP file"),
        (lambda: _bomb(zipfile.ZIP_DEFLATED), "not a ZIP file"),
        (lambda: _zip({"a.toml": "x" * 2_000_001}), "too large"),
        (lambda: _zip({"applications/shop.toml": "surprise = 1"}), "surprise"),
    ],
)
def test_a_faulty_archive_is_refused(
    world: dict[str, Any], browsers: Callable[[str], Any], archive: Callable[[], io.BytesIO], words: str
) -> None:
    given = archive()
    given.name = "definition.zip"
    form = {"archive": given, "reason": "wrong"}
    answer = browsers("manager").post(reverse("operation-new", args=["definition", "load"]), form)
    assert answer.status_code in (400, 409) and words in answer.content.decode()
    assert not Definition.objects.exists()

"""A real OpenID provider (`make identity`), and a browser that goes between it and Ringi."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.test import Client

from config.development.ports import free_port
from tests.environments.single_sign_on.saml import SamlProvider, begun_saml

HERE = Path(__file__).parent
MODULES = HERE.parents[2] / "var" / "identity" / "node_modules"
BASE = "http://testserver"
LEAVE = re.compile(r'href="(\?[^"]+)" id="leave"')


class Provider:
    """The provider that runs. Who sits at the browser there is said beforehand."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def person(self, sub: str, **more: Any) -> None:
        """Let this person sit at the browser. acr: what the provider says of how it asked; ago: seconds since."""
        httpx.post(f"{self.issuer}/person", json={"sub": sub, **more}).raise_for_status()


@contextmanager
def begun(port: int, base: str) -> Iterator[Provider]:
    """Run a provider for a block, for a Ringi at this address; skip where there is none."""
    node = shutil.which("node")
    if node is None or not (MODULES / "oidc-provider").exists():
        pytest.skip("no OpenID provider on this machine: it needs Node.js and `make identity`")
    back = f"{base}/account/single-sign-on/return/"
    argv = [node, HERE / "provider.mjs", MODULES, str(port), "ringi", "secret", back]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield Provider(port)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def running_provider() -> Iterator[Provider]:
    with begun(free_port(), BASE) as running:
        yield running


@pytest.fixture
def provider(running_provider: Provider, settings: Any) -> Provider:
    """The provider, which Ringi knows."""
    settings.OIDC_ISSUER, settings.OIDC_NAME, settings.BASE_URL = running_provider.issuer, "Example", BASE
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "ringi", "secret"
    return running_provider


@pytest.fixture
def strong(provider: Provider, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The provider, whose second factor counts here."""
    from environments.models.access_grant import AccessGrantManager

    monkeypatch.setattr(AccessGrantManager, "_now", None)
    settings.OIDC_SECOND_FACTOR = ["urn:example:mfa"]
    return provider


class Browser:
    """A browser: a client of Ringi, and the cookies that the provider has set in it. takes_out: parameters that its
    owner takes out of the addresses on their way to the provider.
    """

    def __init__(self, client: Client) -> None:
        self.client, self.elsewhere = client, httpx.Client()
        self.takes_out: tuple[str, ...] = ()

    def get(self, address: str) -> Any:
        """Follow all redirects, here and at the provider; return the last answer of Ringi."""
        return self._on(self.client.get(address, headers={"accept-language": "en"}))

    def post(self, address: str, data: dict[str, Any] | None = None) -> Any:
        """Send a form, and follow."""
        return self._on(self.client.post(address, data, headers={"accept-language": "en"}))

    def _on(self, answer: Any) -> Any:
        for _hop in range(20):
            address = answer.headers.get("location")
            if address is None and 'id="leave"' in answer.content.decode():
                (link,) = LEAVE.findall(answer.content.decode())
                answer = self.client.get(answer.wsgi_request.path + unescape(link), headers={"accept-language": "en"})
                continue
            if address is None:
                return answer
            there = urlsplit(address)
            if there.netloc in ("", "testserver"):
                path = f"{there.path}?{there.query}" if there.query else there.path
                answer = self.client.get(path, headers={"accept-language": "en"})
            else:
                url = httpx.URL(address)
                for name in self.takes_out:
                    url = url.copy_remove_param(name)
                answer = self.elsewhere.get(url)
                assert answer.next_request is not None, answer.text
                answer.headers["location"] = str(answer.next_request.url)
        raise AssertionError("too many redirects")


@pytest.fixture
def browser() -> Iterator[Callable[..., Browser]]:
    """Return a function: a browser, of nobody or with the session of a client."""
    made = list[Browser]()

    def new(client: Client | None = None) -> Browser:
        made.append(Browser(client or Client()))
        return made[-1]

    yield new
    for one in made:
        one.elsewhere.close()


@pytest.fixture(scope="session")
def running_saml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamlProvider]:
    with begun_saml(free_port(), tmp_path_factory.mktemp("saml")) as running:
        yield running


@pytest.fixture
def saml(running_saml: SamlProvider, settings: Any, people: dict[str, Any]) -> SamlProvider:
    """The provider, which Ringi knows; the outsider is connected."""
    settings.SAML_METADATA, settings.SAML_NAME, settings.BASE_URL = running_saml.metadata(), "Example", BASE
    from tests.environments.single_sign_on.test_sign_in import connected

    connected(people["outsider"], running_saml.issuer, "u-1")
    running_saml.person("u-1")
    return running_saml

"""Second factors: set up on one's own pages, encrypted at rest, asked for at the sign-in and where an environment
does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client

from audit.actor import acting, current
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.access import SecondFactorRequired, require_factor
from environments.models import Environment
from environments.operations.access.grant import confirm, request_role, revoke
from environments.operations.access.request import approve, request
from environments.operations.environment.require_two_factor import require_two_factor
from tests.conftest import PASSWORD, factor_secret
from tests.sentinels import until


def code(secret: str) -> str:
    """Return what an authenticator app shows now; this process forgets the codes that were used before."""
    cache.clear()
    return shown(secret)


def shown(secret: str, steps: int = 0) -> str:
    """Return what an authenticator app shows some steps of 30 seconds from now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps)))


@pytest.fixture
def production(database: str) -> Environment:
    return Environment.objects.get(slug="production")


def signed_in(name: str) -> Client:
    cache.clear()
    client = Client(headers={"accept-language": "en"})
    client.post("/account/login/", {"login": name, "password": PASSWORD})
    client.cookies["django_language"] = "en"
    return client


def set_up(client: Client) -> str:
    """Set up an authenticator app as a person does; return its secret."""
    page = client.get("/account/mfa/totp/activate/")
    if page.status_code == 302:
        client.post(page["location"], {"password": PASSWORD})
        page = client.get("/account/mfa/totp/activate/")
    secret = re.search(r"<code>([A-Z2-7]{16,})</code>", page.content.decode())
    assert secret is not None, page.content.decode()[:2000]
    done = client.post("/account/mfa/totp/activate/", {"code": code(secret[1])})
    assert done.status_code == 302 and done["location"] == "/account/mfa/recovery-codes/", done.content.decode()[:3000]
    return secret[1]


def test_an_app_is_set_up_with_recovery_codes(people: dict[str, Any]) -> None:
    client = signed_in("outsider")
    assert "Set up the app" in client.get("/account/mfa/").content.decode()
    secret = set_up(client)
    codes = re.findall(r"<code>(\d{8})</code>", client.get("/account/mfa/recovery-codes/").content.decode())
    assert len(set(codes)) == 10
    kept = [str(row.data) for row in Authenticator.objects.filter(user=people["outsider"])]
    assert len(kept) == 2 and all(secret not in text for text in kept), "encrypted at rest"
    seen = b"".join(bytes(e.bytes) for e in Event.objects.filter(object__startswith="mfa.Authenticator"))
    assert seen and secret.encode() not in seen
    events = Event.objects.filter(object__startswith="mfa.Authenticator", kind="row").exclude(operation="test:factor")
    assert {event.actor.split(":")[1] for event in events} == {str(people["outsider"].pk)}


def test_the_sign_in_asks_for_the_factor(people: dict[str, Any]) -> None:
    secret = set_up(signed_in("outsider"))
    client = signed_in("outsider")
    assert client.get("/admin/").status_code == 302, "the password alone is not enough"
    page = client.get("/account/mfa/authenticate/")
    assert page.status_code == 200 and "Two-factor authentication" in page.content.decode()
    client.post("/account/mfa/authenticate/", {"code": "000000"})
    assert client.get("/admin/").status_code == 302
    client.post("/account/mfa/authenticate/", {"code": code(secret)})
    assert client.get("/admin/").status_code == 200


def test_a_recovery_code_opens_once(people: dict[str, Any]) -> None:
    first = signed_in("outsider")
    set_up(first)
    codes = re.findall(r"<code>(\d{8})</code>", first.get("/account/mfa/recovery-codes/").content.decode())
    for expected in (200, 302):
        client = signed_in("outsider")
        client.post("/account/mfa/authenticate/", {"code": codes[0]})
        assert client.get("/admin/").status_code == expected
    used = Event.objects.filter(object__startswith="mfa.Authenticator", actor__startswith="system:visitor")
    assert used.exists(), "using one up is written down, although nobody is signed in yet"


def opens(client: Client, code: str) -> bool:
    """Tell whether a code signs somebody in, in a process that remembers none."""
    cache.clear()
    page = client.post("/account/mfa/authenticate/", {"code": code})
    answer = client.get("/admin/").status_code
    assert (page.status_code, answer) in ((302, 200), (200, 302)), page.content.decode()[:2000]
    return answer == 200


def test_a_code_counts_once_in_all_processes_together(people: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Neither the code that was used nor one that the app showed before it; the next one does."""
    secret = set_up(signed_in("outsider"))
    clients = [signed_in("outsider") for _ in range(4)]
    before, current, coming = (shown(secret, steps) for steps in (-1, 0, 1))
    assert opens(clients[0], current)
    assert not opens(clients[1], current) and not opens(clients[1], before)
    page = clients[1].post("/account/mfa/authenticate/", {"code": f" {current[:3]} {current[3:]}"})
    assert "This code has been used." in page.content.decode()
    assert opens(clients[2], coming) and not opens(clients[3], coming)
    client = browsers("administrator")
    cache.clear()
    own = shown(factor_secret("administrator"))
    for expected in (302, 200):
        assert client.post("/account/mfa/reauthenticate/", {"code": own}).status_code == expected
        cache.clear()


def test_a_code_of_the_moment_before_is_taken_and_an_older_one_is_not(people: dict[str, Any]) -> None:
    """The app's clock may differ by half a minute, and a code may be typed in its last second."""
    secret = set_up(signed_in("outsider"))
    clients = [signed_in("outsider") for _ in range(3)]
    if time.time() % 30 > 25:
        time.sleep(30 - time.time() % 30)  # the three codes are of one half minute
    assert [opens(client, shown(secret, steps)) for client, steps in zip(clients, (-2, 2, -1), strict=True)] == [
        False,
        False,
        True,
    ]


def test_wrong_codes_are_written_down_and_counted_with_wrong_passwords(
    people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """In all processes together: five of them lock the name at this address, for codes and for passwords."""
    secret = set_up(signed_in("outsider"))
    opened, other = signed_in("outsider"), signed_in("outsider")
    for attempt in range(5):
        page = opened.post("/account/mfa/authenticate/", {"code": "000000"})
        cache.clear()  # another process
        assert page.status_code == (200 if attempt < 4 else 429), page.content.decode()[:2000]
    assert "Too many" in page.content.decode()
    for client in (opened, other):
        assert not opens(client, code(secret))
    assert "Too many" in other.post("/account/mfa/authenticate/", {"code": code(secret)}).content.decode()
    assert Client().post("/account/login/", {"login": "outsider", "password": PASSWORD}).status_code == 429
    written = Event.objects.filter(operation="session:sign_in", outcome="refused", object__startswith="environments.")
    assert {event.object for event in written} == {f"environments.Account:{people['outsider'].pk}"}
    assert written.count() >= 5 and {event.actor.partition(":")[0] for event in written} == {"system"}
    client = browsers("administrator")
    client.post("/account/mfa/reauthenticate/", {"code": "000000"})
    event = Event.objects.filter(operation="session:sign_in", outcome="refused").latest("at")
    administrator = people["administrator"].pk
    assert (event.actor.split(":")[:2], event.object) == (
        ["person", str(administrator)],
        f"environments.Account:{administrator}",
    )
    assert "Incorrect code." in str(event.contents)


@pytest.mark.parametrize(
    "answer",
    [
        '{"id": "x"}',
        '"x"',
        "[1]",
        '{"rawId": "eA", "id": "eA", "response": 3, "type": "public-key"}',
        '{"rawId": "eA", "id": "eA", "response": {"clientDataJSON": "eA"}, "type": "public-key"}',
    ],
)
def test_a_wrong_answer_of_a_key_is_written_down(answer: str, people: dict[str, Any]) -> None:
    set_up(signed_in("outsider"))
    client = signed_in("outsider")
    page = client.post("/account/mfa/authenticate/", {"credential": answer})
    assert page.status_code == 200 and "Incorrect code." in page.content.decode()
    event = Event.objects.filter(operation="session:sign_in", outcome="refused").latest("at")
    assert event.object == f"environments.Account:{people['outsider'].pk}"
    assert client.get("/admin/").status_code == 302


def test_a_wrong_password_at_a_signature_is_of_the_account(
    people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    assert browsers("manager").post("/account/reauthenticate/", {"password": "wrong-password"}).status_code == 200
    event = Event.objects.filter(operation="session:sign_in", outcome="refused").latest("at")
    manager = people["manager"].pk
    assert event.actor.startswith(f"person:{manager}:") and event.object == f"environments.Account:{manager}"


def test_a_right_code_ends_the_count(people: dict[str, Any]) -> None:
    """A person who mistypes now and then is not locked out; the password alone ends no count."""
    secret = set_up(signed_in("outsider"))
    for coming in (0, 1):
        client = signed_in("outsider")
        for _ in range(4):
            client.post("/account/mfa/authenticate/", {"code": "000000"})
            cache.clear()
        assert opens(client, shown(secret, coming))
    for _ in range(4):
        assert signed_in("outsider").post("/account/mfa/authenticate/", {"code": "000000"}).status_code == 200
    assert signed_in("outsider").post("/account/mfa/authenticate/", {"code": "000000"}).status_code == 429


def test_a_used_code_locks_no_one_out(people: dict[str, Any]) -> None:
    secret = set_up(signed_in("outsider"))
    assert opens(signed_in("outsider"), shown(secret))
    late = signed_in("outsider")
    for _ in range(6):
        assert not opens(late, shown(secret))
    assert opens(late, shown(secret, 1))


def test_requests_at_once_use_a_code_once(people: dict[str, Any], settings: Any) -> None:
    settings.CACHES = settings.CACHES | {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    code = shown(set_up(signed_in("outsider")))
    clients = [signed_in("outsider") for _ in range(3)]

    def enter(client: Client) -> bool:
        client.post("/account/mfa/authenticate/", {"code": code})
        answer = client.get("/admin/").status_code
        connection.close()
        return answer == 200

    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return int(cursor.fetchone()[0]) >= len(clients)

    with ThreadPoolExecutor(len(clients)) as threads:
        with transaction.atomic():
            list(Authenticator.objects.select_for_update().filter(user=people["outsider"]))
            answers = [threads.submit(enter, client) for client in clients]
            until(waiting, 30)
        assert sorted(answer.result() for answer in answers) == [False, False, True]


def test_a_replaced_identity_proof_is_kept_with_its_type(people: dict[str, Any]) -> None:
    """Signing with the app: the signature's method says so."""
    client = signed_in("outsider")
    secret = set_up(client)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - 4000}]
    session.save()
    client.post("/account/mfa/reauthenticate/?next=/admin/", {"code": code(secret)})
    records = client.session["account_authentication_methods"]
    assert records[-1]["type"] == "totp"


def test_an_environment_that_asks_for_a_factor_takes_no_password_alone(
    acting_as: Callable[..., Any], production: Environment
) -> None:
    with acting_as("operator"):
        require_factor(production)
        require_factor(None)
        production.requires_two_factor = True
        with pytest.raises(SecondFactorRequired, match="two-factor authentication"):
            require_factor(production)
        for method in ("password+totp", "webauthn", "password+recovery_codes", "mfa"):
            with acting(replace(current(), method=method)):
                require_factor(production)
        for method in ("", "password", "totp2", "password+other", "token"):
            with acting(replace(current(), method=method)), pytest.raises(SignatureRequired):
                require_factor(production)


def test_only_a_person_with_a_second_factor_demands_one(acting_as: Callable[..., Any], production: Environment) -> None:
    with acting_as("manager"), pytest.raises(NotPermitted):
        require_two_factor(production.pk, demanded=True, reason="x")
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        require_two_factor(production.pk, demanded=True, reason="x")
    with acting_as("administrator"):
        with pytest.raises(SecondFactorRequired):
            require_two_factor(production.pk, demanded=True, reason="policy")
        with acting(replace(current(), method="password+totp")):
            with pytest.raises(NotPossible):
                require_two_factor(production.pk, demanded=False, reason="x")
            with pytest.raises(InvalidInput):
                require_two_factor(production.pk, demanded=True, reason=" ")
            assert require_two_factor(production.pk, demanded=True, reason="policy").requires_two_factor
        with pytest.raises(SecondFactorRequired):
            require_two_factor(production.pk, demanded=False, reason="a password alone ends it not")
    assert Environment.objects.get(pk=production.pk).requires_two_factor


def test_the_operation_leads_to_the_factor_and_is_done_at_once(
    people: dict[str, Any], browsers: Callable[[str], Any], production: Environment
) -> None:
    """From the button over the code to the operation, as a person goes."""
    address = f"/admin/operation/environment/require_two_factor/{production.pk}/"
    client, secret = browsers("administrator"), factor_secret("administrator")
    asked = client.post(address, {"demanded": "yes", "reason": "policy"})
    assert asked.status_code == 302 and asked["location"].startswith("/account/mfa/reauthenticate/")
    page = client.get(asked["location"])
    assert "signature" in page.content.decode()
    done = client.post(asked["location"], {"code": code(secret), "next": address})
    assert done.status_code == 302, done.content.decode()[:2000]
    assert Environment.objects.get(pk=production.pk).requires_two_factor
    event = Event.objects.get(operation="environment:require_two_factor", kind="operation")
    assert b'totp"' in bytes(event.bytes)


def test_a_person_comes_to_their_pages_from_the_menu(people: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("developer")
    assert 'href="/account/mfa/"' in client.get("/admin/").content.decode()
    html = client.get("/account/mfa/").content.decode()
    for address in re.findall(r'href="(/(?:account|admin)/[^"]*)"', html):
        assert client.get(address, follow=True).status_code == 200, address


def test_giving_a_role_there_needs_the_factor_too(
    people: dict[str, Any], acting_as: Callable[..., Any], production: Environment
) -> None:
    """Also one for all environments, which reaches there; ending one does not."""
    staging = Environment.objects.get(slug="staging")
    with acting_as("administrator"), acting(replace(current(), method="password+totp")):
        require_two_factor(production.pk, demanded=True, reason="policy")
        grant = request_role(people["outsider"].pk, role="committee", reason="new")
    with acting_as("developer"):
        asked = request(role="tester", environment_id=production.pk, hours=1, reason="INC-7")
    with acting_as("second_administrator"):
        for attempt in (
            lambda: request_role(people["outsider"].pk, role="tester", reason="x", environment_id=production.pk),
            lambda: request_role(people["outsider"].pk, role="tester", reason="x"),
            lambda: confirm(grant.pk),
            lambda: approve(asked.pk),
        ):
            with pytest.raises(SecondFactorRequired):
                attempt()
        request_role(people["outsider"].pk, role="tester", reason="x", environment_id=staging.pk)
        revoke(grant.pk, reason="not needed")

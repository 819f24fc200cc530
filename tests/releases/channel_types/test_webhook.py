"""Standard Webhooks: the specification's own example, what a receiver checks, and refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest

from releases.channel_types.base import NotDelivered
from releases.channel_types.webhook import Webhook, signature
from tests.releases.channel_types.messages import message, near
from tests.releases.channel_types.receivers import Receiver, receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as running:
        yield running


def test_the_signature_equals_the_specifications_example() -> None:
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


def test_a_receiver_can_verify_a_message_and_drop_its_duplicate(hook: Receiver) -> None:
    for _try in range(2):
        Webhook().send(message(), near(hook.base, secret=SECRET))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for got in hook.posted:
        signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert got.headers["webhook-signature"].split(" ") == [f"v1,{expected}"]
        assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    assert {got.headers["webhook-id"] for got in hook.posted} == {"msg_2b1f"}
    sent = json.loads(hook.posted[0].body)
    assert (sent["type"], sent["data"]["url"]) == ("release:announce", message().url)
    assert SECRET.removeprefix("whsec_") not in hook.posted[0].body.decode()


def test_status_410_is_final_and_other_errors_are_retried(hook: Receiver) -> None:
    for status, lasting in ((410, True), (404, False), (500, False), (302, False)):
        hook.answers = [(status, "no", {"Location": "http://127.0.0.1:1/"})]
        with pytest.raises(NotDelivered, match=str(status)) as fault:
            Webhook().send(message(), near(hook.base, secret=SECRET))
        assert fault.value.lasting is lasting
    assert len(hook.posted) == 4, "a redirect is not followed"


@pytest.mark.parametrize("secret", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "whsec_c2hvcnQ="])
def test_a_weak_secret_is_refused(hook: Receiver, secret: str) -> None:
    assert "whsec_" in Webhook().fault(near(hook.base, secret=secret))


def test_an_error_never_contains_the_address() -> None:
    with pytest.raises(NotDelivered) as fault:
        Webhook().send(message(), near("http://127.0.0.1:1/hidden-path", secret=SECRET))
    assert "hidden-path" not in str(fault.value) and SECRET not in repr(near("x", secret=SECRET))

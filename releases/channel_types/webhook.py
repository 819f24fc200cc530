"""A standard webhook: JSON signed as standardwebhooks.com describes it (webhook-id, -timestamp, -signature v1)."""

import base64
import binascii
import hashlib
import hmac
import json
import time

from django.utils.translation import gettext as _

from releases.channel_types.base import Address, ChannelType, OutgoingMessage
from releases.channel_types.guard import fault_of, post, refused

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


class Webhook(ChannelType):
    """One message to the receiver, which drops a duplicate of the same webhook-id."""

    name = "webhook"
    signs = True

    def fault(self, address: Address) -> str:
        """Return why the address may not receive a post, or why the secret is invalid."""
        try:
            key_of(address.secret)
        except ValueError:
            return _("The secret must be whsec_ followed by 24 to 64 bytes in base64.")
        return fault_of(address)

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Post the JSON; any status of 200 to 299 means received, 410 means removed for good."""
        body = json.dumps(
            {
                "type": message.event,
                "timestamp": message.at.isoformat(),
                "data": {
                    "key": message.key,
                    "language": message.language,
                    "subject": message.subject,
                    "text": message.text,
                    "url": message.url,
                    "urgent": message.urgent,
                },
            },
            ensure_ascii=False,
        ).encode()
        stamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.key,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(address.secret, message.key, stamp, body),
        }
        answer = post(address, body, headers)
        if not 200 <= answer.status < 300:
            raise refused(answer, lasting=answer.status == 410)
        return str(answer.status)


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret `whsec_<base64>`. Raises ValueError."""
    if not secret.startswith(PREFIX):
        raise ValueError("no prefix")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as fault:
        raise ValueError("no base64") from fault
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError("length")
    return key


def signature(secret: str, key: str, stamp: int, body: bytes) -> str:
    """Return `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`; stamp: seconds of Unix time."""
    signed = b".".join((key.encode(), str(stamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()

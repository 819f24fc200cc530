"""A Slack incoming webhook: a header, the text, and a button that links to the page."""

import json
import re
from typing import Any

from django.utils.translation import gettext as _, override

from releases.channel_types.base import Address, ChannelType, OutgoingMessage
from releases.channel_types.guard import GONE, fault_of, post, refused

# Limits of Block Kit, in characters.
HEADER, SECTION = 150, 3000
# Slack's own texts for a permanently removed webhook.
DEAD = (
    "no_service",
    "no_active_hooks",
    "no_team",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "action_prohibited",
)


class Slack(ChannelType):
    """One message in the webhook's room."""

    name = "slack"

    def fault(self, address: Address) -> str:
        """Return why the address may not receive a post."""
        return fault_of(address)

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Post the blocks; the answer is Slack's."""
        body = json.dumps(payload(message), ensure_ascii=False).encode()
        answer = post(address, body, {"Content-Type": "application/json; charset=utf-8"})
        if answer.status != 200:
            said = answer.body[:120].decode(errors="replace")
            raise refused(answer, lasting=answer.status in GONE or any(word in said for word in DEAD))
        if not _accepted(answer.body):  # such as the sign-in page of a proxy
            raise refused(answer, lasting=False)
        return answer.body[:120].decode(errors="replace").strip() or "ok"


def _accepted(body: bytes) -> bool:
    """Tell whether an answer with status 200 says that the message was taken: `ok`, or so in JSON."""
    text = body.decode(errors="replace").strip()
    if text.lower() == "ok":
        return True
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and True in (said.get("ok"), said.get("success"))


def payload(message: OutgoingMessage) -> dict[str, Any]:
    """Return the payload for Slack: `text` for its notifications, blocks for the room."""
    with override(message.language):
        opens = _("Open the page")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.subject[:HEADER], "emoji": False}},
        {"type": "section", "text": {"type": "mrkdwn", "text": _shortened(_escaped(message.text))}},
    ]
    if message.url:
        button = {"type": "button", "text": {"type": "plain_text", "text": opens}, "url": message.url}
        blocks.append({"type": "actions", "elements": [button]})
    return {"text": _escaped(message.subject), "blocks": blocks}


def _escaped(text: str) -> str:
    """Return text without mentions, such as <!channel>, and without hidden links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shortened(text: str) -> str:
    """Return an escaped text of at most SECTION characters, cut outside escapes."""
    return text if len(text) <= SECTION else re.sub(r"&[a-z]{0,3}$", "", text[: SECTION - 1]) + "…"

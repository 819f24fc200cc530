"""Mail with a text and an HTML part, through the SMTP server of the settings."""

import re
import smtplib
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, mailers
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from releases.channel_types.base import PATIENCE, Address, ChannelType, NotDelivered, NotSetUp, OutgoingMessage
from releases.channel_types.smtp import Bounded

# The enhanced codes (RFC 3463) of a missing mailbox, without those about the sender; and texts of servers
# that give none. Any other refusal says nothing about the address.
GONE = re.compile(r"\b5\.(1\.(?!7\b|8\b)\d+|2\.1)\b")
ENHANCED = re.compile(r"\b5\.\d+\.\d+\b")
NOBODY = re.compile(
    r"(?i)no such (user|recipient|mailbox)|(user|recipient|mailbox) (is )?(unknown|not found)|unknown user|"
    r"does(n't| not) exist|no mailbox"
)
# Temporary for one recipient alone: a full mailbox, a greylist.
LATER = re.compile(r"\b4\.[27]\.\d+\b|(?i:gr[ae]ylist)")


class Mail(ChannelType):
    """One mail for each person."""

    name = "mail"
    personal = True

    def fault(self, address: Address) -> str:
        """Return why it is no address, or belongs to no permitted domain."""
        try:
            validate_email(address.to)
        except ValidationError:
            return _("“%(address)s” is not a valid address.") % {"address": address.to}
        domain = address.to.rpartition("@")[2].lower()
        if address.hosts and domain not in address.hosts:
            return _("Mail may not go to this domain: %(domain)s") % {"domain": domain}
        return ""

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Send it to the SMTP server; the answer is that the server accepted it."""
        if not settings.MAIL_HOST:
            raise NotSetUp(_("This installation has no mail server."))
        if wrong := self.fault(address):
            raise NotDelivered(wrong, lasting=True, whose="recipient")
        domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "localhost"
        headers = {
            "Message-ID": f"<{message.key}@{domain}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "Content-Language": message.language,
        }
        if message.urgent:
            headers["Importance"] = "high"
        mail = EmailMultiAlternatives(
            # A line break in a subject would begin another header.
            subject=" ".join(message.subject.split()),
            body=f"{message.text}\n\n{message.url}\n" if message.url else message.text,
            to=[address.to],
            headers=headers,
        )
        mail.attach_alternative(message.html, "text/html")
        backend = _backend()
        try:
            backend.send_messages([mail])
        except smtplib.SMTPRecipientsRefused as refusal:
            code, said = next(iter(refusal.recipients.values()))
            raise _refused(code, _said(code, said)) from refusal
        except smtplib.SMTPResponseException as fault:
            text = isinstance(fault, smtplib.SMTPDataError) and fault.smtp_code != 421
            why = _said(fault.smtp_code, fault.smtp_error)
            raise NotDelivered(why, whose="either" if text else "channel") from fault
        except (smtplib.SMTPException, OSError) as fault:
            stage = getattr(backend, "stage", "")
            why = f"{type(fault).__name__}: {fault}"[:300]
            # smtplib reports a read timeout as a closed connection.
            timed_out = isinstance(fault, TimeoutError) or isinstance(fault.__context__, TimeoutError)
            if isinstance(backend, Bounded) and (backend.late.is_set() or timed_out):
                why = f"no complete answer within {PATIENCE:g} s ({stage})"
            raise NotDelivered(why, whose="either" if stage in ("RCPT", "DATA") else "channel") from fault
        return "250"


def _backend() -> Any:
    """Return the sending backend: Django's own for SMTP within the deadline, any other one as configured."""
    usual = mailers["default"]
    if type(usual) is not EmailBackend:
        return usual
    return Bounded(alias="default", seconds=PATIENCE, **settings.MAILERS["default"]["OPTIONS"])


def _refused(code: int, said: str) -> NotDelivered:
    """Return the meaning of a refused recipient: only a missing mailbox is a lasting fault of the address."""
    gone = GONE.search(said) or (not ENHANCED.search(said) and NOBODY.search(said))
    if code >= 500 and gone:
        return NotDelivered(said, lasting=True, whose="recipient")
    if code == 421:
        return NotDelivered(said)
    return NotDelivered(said, whose="recipient" if code < 500 and LATER.search(said) else "either")


def _said(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {text}"[:300]

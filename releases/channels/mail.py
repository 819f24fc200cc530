"""Mail with a text and an HTML part, through the SMTP server of the settings."""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from releases.channels.base import Address, ChannelKind, Letter, NotSetUp, Undelivered


class Mail(ChannelKind):
    """One mail for each person."""

    name = "mail"
    personal = True

    def fault(self, address: Address) -> str:
        """Return why it is no address, or not of a domain that mail may go to."""
        try:
            validate_email(address.to)
        except ValidationError:
            return _("“%(address)s” is no address.") % {"address": address.to}
        domain = address.to.rpartition("@")[2].lower()
        if address.hosts and domain not in address.hosts:
            return _("Mail may not go to this domain: %(domain)s") % {"domain": domain}
        return ""

    def send(self, letter: Letter, address: Address) -> str:
        """Hand it to the SMTP server; the answer is that it was taken."""
        if not settings.MAIL_HOST:
            raise NotSetUp(_("This installation has no mail server."))
        if wrong := self.fault(address):
            raise Undelivered(wrong, lasting=True)
        domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "localhost"
        headers = {
            "Message-ID": f"<{letter.key}@{domain}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "Content-Language": letter.language,
        }
        if letter.urgent:
            headers["Importance"] = "high"
        mail = EmailMultiAlternatives(
            # A line break in a subject would begin another header.
            subject=" ".join(letter.subject.split()),
            body=f"{letter.text}\n\n{letter.url}\n" if letter.url else letter.text,
            to=[address.to],
            headers=headers,
        )
        mail.attach_alternative(letter.html, "text/html")
        try:
            mail.send(using="default")
        except smtplib.SMTPRecipientsRefused as refusal:
            code, said = next(iter(refusal.recipients.values()))
            raise Undelivered(_said(code, said), lasting=code >= 500) from refusal
        except smtplib.SMTPResponseException as fault:
            raise Undelivered(_said(fault.smtp_code, fault.smtp_error)) from fault
        except (smtplib.SMTPException, OSError) as fault:
            raise Undelivered(f"{type(fault).__name__}: {fault}"[:300]) from fault
        return "250"


def _said(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {text}"[:300]

"""Further services through the Apprise library, if it is installed and the address type is allowed.

Apprise makes its connections itself: the guard checks the host beforehand, but a resolver that answers differently
a moment later, or a redirect, is not caught. So only the types of RINGI_APPRISE_TYPES are allowed, by default none.
"""

import importlib
import importlib.util
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from releases.channel_types.base import Address, ChannelType, NotDelivered, NotSetUp, OutgoingMessage
from releases.channel_types.guard import fault_of


class Apprise(ChannelType):
    """One message to an address in Apprise's form."""

    name = "apprise"

    def fault(self, address: Address) -> str:
        """Return why this address type is refused; a host in it is checked like any other."""
        if importlib.util.find_spec("apprise") is None:
            return _("Apprise is not installed here.")
        try:
            parts = urlsplit(address.to)
            port = parts.port
        except ValueError:
            return _("Apprise does not know this type of address.")
        if parts.scheme.lower() not in settings.APPRISE_TYPES:
            return _("This type of address is not on the list of allowed address types.")
        if self._library().Apprise.instantiate(address.to) is None:
            return _("Apprise does not know this type of address.")
        host = parts.hostname or ""
        if "." in host or ":" in host or host == "localhost":
            # Many types have a key in the place of the host; text that looks like a host is checked as one.
            named = f"[{host}]" if ":" in host else host
            return fault_of(replace(address, to=f"https://{named}:{port or 443}/"))
        return ""

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Send through Apprise, which reports only success or failure."""
        if importlib.util.find_spec("apprise") is None:
            raise NotSetUp(_("Apprise is not installed here."))
        if fault := self.fault(address):
            raise NotDelivered(fault)
        sender = self._library().Apprise()
        sender.add(address.to)
        body = f"{message.text}\n\n{message.url}" if message.url else message.text
        if not sender.notify(title=message.subject, body=body):
            raise NotDelivered(_("Apprise could not deliver the notification."))
        return "ok"

    def _library(self) -> Any:
        return importlib.import_module("apprise")

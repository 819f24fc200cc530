"""A storage: an object is put, got back, compared and deleted; a folder (file://) can be looked at."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext as _

from environments.connectivity.addresses import Network
from environments.connectivity.base import CheckNotPossible, NotReached, Service


class Storage(Service):
    """A folder of a file system that this machine sees."""

    kind: ClassVar[str] = "storage"
    schemes: ClassVar[frozenset[str]] = frozenset({"file"})

    def reach(self, address: str, listed: Iterable[Network] = ()) -> str:
        """Put, get, compare and delete an object of 32 random bytes. Raises NotReached; nothing is left behind."""
        parts = urlsplit(address)
        folder = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not folder.is_absolute():
            raise NotReached(_("This is not a valid address of a folder."))
        place, content = folder / f".ringi-check-{secrets.token_hex(8)}", secrets.token_bytes(32)
        try:
            try:
                with place.open("xb") as file:
                    file.write(content)
                same = place.read_bytes() == content
            finally:
                place.unlink(missing_ok=True)
            left = place.exists()
        except OSError as fault:
            raise NotReached(fault.strerror or str(fault)) from fault
        except ValueError as fault:
            raise NotReached(_("This is not a valid address of a folder.")) from fault
        if not same or left:
            raise NotReached(
                _("The stored object and the retrieved object differ, or the object could not be deleted.")
            )
        return _("an object was stored, retrieved and deleted")


class StorageElsewhere(Service):
    """An object store that is named and cannot be looked at yet."""

    kind: ClassVar[str] = "storage"
    schemes: ClassVar[frozenset[str]] = frozenset({"s3", "gs", "azure"})

    def reach(self, address: str, listed: Iterable[Network] = ()) -> str:
        """Say that there is no way; unknown is never shown as reached."""
        raise CheckNotPossible

"""notification_channel:reencrypt: a channel's address is encrypted with the current key; nothing else changes."""

from collections.abc import Iterable, Iterator

from audit.operation import operation
from environments.secrets import decrypt, encrypt, key_of
from releases.models import NotificationChannel


def texts() -> Iterator[tuple[int, Iterable[str]]]:
    """Yield the id of each channel with its encrypted values."""
    for pk, encrypted in NotificationChannel.objects.order_by("pk").values_list("pk", "encrypted"):
        yield pk, encrypted.values()


def reencrypt(channel_id: int) -> None:
    """Re-encrypt the address and the secret of one channel."""
    with operation("notification_channel:reencrypt", (NotificationChannel, channel_id)) as op:
        row = op.get(NotificationChannel)
        op.details["from"] = sorted({key_of(text) for text in row.encrypted.values()})
        row.encrypted = {
            name: encrypt(decrypt(text, row.bound_to(name)), row.bound_to(name)) for name, text in row.encrypted.items()
        }
        op.details["to"] = sorted({key_of(text) for text in row.encrypted.values()})

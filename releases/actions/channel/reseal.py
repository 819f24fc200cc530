"""notification_channel:reencrypt: the same address of a channel under the key that seals now; nothing else changes."""

from collections.abc import Iterable, Iterator

from audit.change import change
from environments.secrets import key_of, open_sealed, seal
from releases.models import NotificationChannel


def texts() -> Iterator[tuple[int, Iterable[str]]]:
    """Yield the id of each channel with its sealed values."""
    for pk, sealed in NotificationChannel.objects.order_by("pk").values_list("pk", "encrypted"):
        yield pk, sealed.values()


def reseal(channel_id: int) -> None:
    """Seal the address and the secret of one channel anew."""
    with change("notification_channel:reencrypt", (NotificationChannel, channel_id)) as act:
        row = act.get(NotificationChannel)
        act.details["from"] = sorted({key_of(text) for text in row.encrypted.values()})
        row.encrypted = {
            name: seal(open_sealed(text, row.bound_to(name)), row.bound_to(name))
            for name, text in row.encrypted.items()
        }
        act.details["to"] = sorted({key_of(text) for text in row.encrypted.values()})

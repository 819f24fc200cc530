"""channel:reseal: the same address of a channel under the key that seals now; nothing else changes."""

from collections.abc import Iterable, Iterator

from audit.change import change
from environments.secrets import key_of, open_sealed, seal
from releases.models import NotificationChannel


def texts() -> Iterator[tuple[int, Iterable[str]]]:
    """Yield the id of each channel with its sealed values."""
    for pk, sealed in NotificationChannel.objects.order_by("pk").values_list("pk", "sealed"):
        yield pk, sealed.values()


def reseal(channel_id: int) -> None:
    """Seal the address and the secret of one channel anew."""
    with change("channel:reseal", (NotificationChannel, channel_id)) as act:
        row = act.get(NotificationChannel)
        act.details["from"] = sorted({key_of(text) for text in row.sealed.values()})
        row.sealed = {
            name: seal(open_sealed(text, row.bound_to(name)), row.bound_to(name)) for name, text in row.sealed.items()
        }
        act.details["to"] = sorted({key_of(text) for text in row.sealed.values()})

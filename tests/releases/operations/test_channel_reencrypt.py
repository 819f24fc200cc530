"""The address of a channel survives the change of the key that encrypts it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.actor import acting
from environments import key_ring
from environments.operations.configuration.reencrypt import in_use
from environments.secrets import decrypt, encrypt, key_of
from releases.models import NotificationChannel
from tests.releases.gates.asking import COMMAND, alter, make


def test_a_key_that_an_address_needs_is_not_retired(people: Any, tmp_path: Any, settings: Any) -> None:
    ring = key_ring.path()
    settings.STATE_DIR = tmp_path
    key_ring.path().parent.mkdir(mode=0o700)
    shutil.copy(ring, key_ring.path())
    with acting(COMMAND):
        row = make(NotificationChannel, key="desk", channel_type="slack", label_ja="x", label_en="x", language="ja")
    row = alter(row, encrypted={"url": encrypt("https://hooks.example/1", row.bound_to("url"))})
    before = key_of(row.encrypted["url"])
    key_ring.use(key_ring.add().newest)
    with pytest.raises(CommandError, match="still in use"):
        call_command("configuration_keys", "retire")
    call_command("configuration_keys", "rotate")
    row = NotificationChannel.objects.get(pk=row.pk)
    assert key_of(row.encrypted["url"]) != before and in_use()[before] == 0
    assert decrypt(row.encrypted["url"], row.bound_to("url")) == "https://hooks.example/1"

"""manage.py configuration_keys show | add | rotate | retire: the ring of keys under which secrets lie at rest."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, acting
from audit.operation import record_event
from environments import key_ring
from environments.operations.configuration import reencrypt

# A request that read the ring before the change has ended by then.
REST_SECONDS = 60.0


class Command(BaseCommand):
    """Show, add, change and retire keys."""

    help = "Shows the ring (show), adds a key (add), encrypts everything under it (rotate), drops unused keys (retire)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the verb."""
        parser.add_argument("verb", choices=["show", "add", "rotate", "retire"])

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; each verb may be repeated, and goes on where a killed one ended."""
        with acting(Actor(account_id=None, name="configuration_keys", kind="command", channel="command")):
            getattr(self, "_" + options["verb"])()

    def _show(self) -> None:
        ring, used = key_ring.read(), reencrypt.in_use()
        for name, key in ring.keys.items():
            mark = "encrypts" if name == ring.current else "decrypts"
            self.stdout.write(f"{name}  {key_ring.fingerprint(key)}  {mark}  {used.pop(name, 0)} values")
        self.stdout.write(f"digests  {key_ring.fingerprint(ring.digest)}")
        if used:
            raise CommandError(f"encrypted under keys that are not in the ring: {dict(used)}")

    def _add(self) -> None:
        ring = key_ring.add()
        record_event("configuration:add_key", key=ring.newest, fingerprint=key_ring.fingerprint(ring.keys[ring.newest]))
        self.stdout.write(f"{ring.newest} added; copy {key_ring.path()} to the other machines, then rotate")

    def _rotate(self) -> None:
        ring = key_ring.read()
        unfinished = reencrypt.stale_configurations() or reencrypt.stale_factors()
        unfinished = unfinished or [pk for place in reencrypt.ELSEWHERE for pk in place.stale()]
        if not unfinished and ring.newest == ring.current:
            ring = key_ring.add()
        if ring.newest != ring.current:
            ring = key_ring.use(ring.newest)
            record_event(
                "configuration:use_key", key=ring.current, fingerprint=key_ring.fingerprint(ring.keys[ring.current])
            )
        count = 0
        # Again until nothing is left: a request that read the ring before the change may have written meanwhile.
        while versions := reencrypt.stale_configurations():
            for pk in versions:
                reencrypt.reencrypt(pk)
                count += 1
        while factors := reencrypt.stale_factors():
            for pk in factors:
                reencrypt.reencrypt_factor(pk)
                count += 1
        for place in reencrypt.ELSEWHERE:
            while rows := place.stale():
                for pk in rows:
                    place.reencrypt(pk)
                    count += 1
        self.stdout.write(f"{ring.current} encrypts; {count} rows re-encrypted; {dict(reencrypt.in_use())}")

    def _retire(self) -> None:
        ring, used = key_ring.read(), reencrypt.in_use()
        unused = {name for name in ring.keys if name != ring.current and not used[name]}
        if needed := sorted(name for name in ring.keys if name != ring.current and used[name]):
            raise CommandError(f"still in use: {', '.join(needed)}; run rotate")
        if unused and time.time() - ring.changed_at < REST_SECONDS:
            raise CommandError(f"the key was changed less than {REST_SECONDS:.0f} s ago; try again then")
        key_ring.drop(unused)
        if unused:
            record_event("configuration:retire_keys", keys=sorted(unused))
        self.stdout.write(f"retired: {', '.join(sorted(unused)) or 'none'}")

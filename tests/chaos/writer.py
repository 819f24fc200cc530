"""Writers of the test of killed writers: `python -m tests.chaos.writer` forks one for each number that it reads.

A writer writes until it is killed: its operations make, change and delete freezes, several at a time, some inside
savepoints that are rolled back; some operations are refused or fail as a whole. It prints `NUMBER pid PID` first, and
`NUMBER operation ID` after each commit. Forked, because starting Python and Django takes longer than all that it
writes.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import timedelta

import django

from config.development.processes import die_with_parent

# The classes of SQLSTATE of a connection that is gone.
LOST = ("08", "57")


class _Undone(Exception):
    """A savepoint, or a whole operation, that is rolled back on purpose."""


def say(*words: object) -> None:
    """Write a line in one piece beside other writers."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    """Fork a writer for each line."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            die_with_parent(signal.SIGKILL)
            say(int(line), "pid", os.getpid())
            write(int(line))


def write(seed: int) -> None:
    """Write for ever."""
    from django.db import InterfaceError, OperationalError, connection, transaction

    from audit.actor import Actor, acting
    from audit.clock import now
    from audit.operation import Operation, operation
    from audit.refusals import InvalidInput
    from environments.models import ChangeFreeze, Environment

    pause = float(os.environ.get("CHAOS_PAUSE", "0"))
    chance, moment, environment = random.Random(seed), now(), Environment.objects.get(slug="development")
    connection.settings_dict["OPTIONS"]["application_name"] = f"writer-{seed}"
    connection.close()

    def one(op: Operation) -> None:
        mine = list(ChangeFreeze.objects.filter(name=f"writer {seed}").order_by("pk").values_list("pk", flat=True))
        verb = chance.choice(["make", "make", "edit", "edit", "bulk", "delete"]) if mine else "make"
        if verb == "make":
            op.about(
                ChangeFreeze.objects.create(
                    name=f"writer {seed}",
                    environment=environment,
                    reason=str(chance.random()),
                    starts_at=moment + timedelta(days=400),
                    ends_at=moment + timedelta(days=401),
                )
            )
            return
        chosen = ChangeFreeze.objects.select_for_update().filter(pk=chance.choice(mine))
        if verb == "edit":
            row = chosen.get()
            row.reason = str(chance.random())
            row.save()
        elif verb == "bulk":
            ChangeFreeze.objects.filter(name=f"writer {seed}").update(reason=str(chance.random()))
        else:
            chosen.get().delete()

    with acting(Actor(account_id=None, name=f"writer-{seed}", kind="worker", channel="worker")):
        while True:
            try:
                with operation("test:write", reason="killed at random") as op:
                    for _n in range(chance.randint(1, 4)):
                        try:
                            with transaction.atomic():
                                one(op)
                                if chance.random() < 0.3:
                                    raise _Undone
                        except _Undone:
                            pass
                    if chance.random() < 0.15:
                        raise _Undone
                    if chance.random() < 0.1:
                        raise InvalidInput("not today")
            except (_Undone, InvalidInput):
                continue
            except (OperationalError, InterfaceError) as fault:
                if (getattr(fault.__cause__, "sqlstate", None) or LOST[0])[:2] not in LOST:
                    raise
                connection.close()  # the database is down, or another server becomes the primary
                time.sleep(0.05)
                continue
            say(seed, "operation", op.id)
            time.sleep(pause)


if __name__ == "__main__":
    main()

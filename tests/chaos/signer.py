"""Ledger signers of the test of killed writers: `python -m tests.chaos.signer` forks one for each line that it reads.

It prints the process's number; then each signer prints what it signs. Forked, because starting Python and Django takes
longer than all that it signs.
"""

from __future__ import annotations

import os
import signal
import sys

import django


def main() -> None:
    """Fork a signer for each line."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from django.core.management import call_command

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _line in sys.stdin:
        if (pid := os.fork()) == 0:
            call_command("ledger_signer", interval=0.01)
        os.write(1, f"pid {pid}\n".encode())


if __name__ == "__main__":
    main()

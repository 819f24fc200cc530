"""A mail server that takes everything on port 25, and writes the recipients into a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.releases.channel_types.receivers import mail_host

if __name__ == "__main__":
    with mail_host(25) as host:
        while True:
            Path(sys.argv[1]).write_text("\n".join(host.to))
            time.sleep(0.5)

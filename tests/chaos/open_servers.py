"""config.development.embedded, with a PostgreSQL that listens on every address: for the machine on which the servers of
all lie.
"""

from __future__ import annotations

import sys

from config.development import embedded

if __name__ == "__main__":
    embedded.POSTGRES_SETTINGS = embedded.POSTGRES_SETTINGS.replace("listen_addresses=127.0.0.1", "listen_addresses=*")
    sys.exit(embedded.main())

"""WSGI entry point of the web process; it does not start with a role that could alter the ledger."""

import os
from pathlib import Path

from config.one_version import keep

keep()

from django.core.wsgi import get_wsgi_application  # noqa: E402

from config.served import share  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
share(Path(os.environ.get("RINGI_STATE_DIR") or "var/state"))
application = get_wsgi_application()

import config.urls  # noqa: E402, F401  no reader waits for the pages to be loaded
from audit.roles import guard  # noqa: E402  needs the settings

guard()

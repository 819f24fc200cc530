"""ASGI entry point of the web process; it does not start with a role that could alter the ledger."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_asgi_application()

import config.urls  # noqa: E402, F401  no reader waits for the pages to be loaded
from audit.roles import guard  # noqa: E402  needs the settings

guard()

"""Django with the audit app alone, over a database of the test that starts the process."""

import os
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests import operation_roles

_parts = conninfo_to_dict(os.environ["LEDGER_TEST_URL"])
SECRET_KEY = "tests only"
INSTALLED_APPS = ["audit"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parts["dbname"],
        "USER": _parts["user"],
        "PASSWORD": _parts.get("password", ""),
        "HOST": _parts["host"],
        "PORT": _parts["port"],
        "OPTIONS": {"connect_timeout": 5},
    }
}
USE_TZ = True
TIME_ZONE = "UTC"
STATE_DIR = Path(os.environ["LEDGER_TEST_STATE"])
LEDGER_PUBLIC_KEY = ""
LEDGER_TOKEN = LEDGER_TOKEN_PIN = ""
TIME_STAMP_URL = os.environ.get("LEDGER_TEST_TIME_STAMP_URL", "")
TIME_STAMP_CA = os.environ.get("LEDGER_TEST_TIME_STAMP_CA", "")
DATABASE_ROLES = {"application": _parts["user"]}
operation_roles.in_one_process()
MAIL_HOST, _, _port = os.environ.get("LEDGER_TEST_MAIL", "").rpartition(":")
MAIL_DOMAINS: list[str] = []
MAILERS = {
    "default": {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {"host": MAIL_HOST, "port": int(_port or 25)},
    }
}

"""The admin of releases; config/urls.py imports it, and with it the lists."""

from releases.admin.lists import committee as committee, registry as registry

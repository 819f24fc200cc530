#!/usr/bin/env python
"""Django's command line for Ringi."""

import os
import sys

from config.one_version import keep


def main() -> None:
    """Run one management command; settings come from the environment (see config/settings.py)."""
    keep()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as fault:
        sys.exit(f"ringi: {fault}")


if __name__ == "__main__":
    main()

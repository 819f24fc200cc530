"""Keeps a process with the version of the code that it began with. manage.py and the web process call it."""

import os
import sys


def keep() -> None:
    """Load everything from the folders that are behind the links now: an upgrade switches the link to the code.

    gunicorn's first process outlives an upgrade; what it has loaded for its log is loaded again.
    """
    sys.path[:] = dict.fromkeys(map(os.path.realpath, sys.path))
    if "config.settings" not in sys.modules:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("audit", "config")]:
            if name not in ("config.wsgi", __name__):
                del sys.modules[name]

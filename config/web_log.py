"""gunicorn's own lines (it starts, a thread of it hangs, it served) in the form of all others. Named on its command
line.
"""

import os
from typing import Any

from gunicorn.glogging import Logger

from config.logs import json_lines


class WebLogger(Logger):
    """Writes JSON where RINGI_LOG_FORMAT asks for it."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, then set the format."""
        super().setup(cfg)
        if os.environ.get("RINGI_LOG_FORMAT") == "json":
            for handler in (*self.error_log.handlers, *self.access_log.handlers):
                handler.setFormatter(json_lines(os.environ.get("RINGI_PROCESS", "ringi")))

"""The texts of what runs on a target. On a target's host the bundle carries another file under this name
(ssh/host/told.py): it takes the texts from the request, in the language of whoever asks.
"""

from __future__ import annotations

from django.utils.translation import gettext

__all__ = ["gettext"]

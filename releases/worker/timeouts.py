"""Time limits: a command ends at its deadline, Python code that hangs is interrupted here."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django.db import connection

from environments.targets.words import gettext as _

# A limit that ends a command by itself, here or over SSH, has passed by then.
MARGIN_SECONDS = 60.0


class TimedOut(BaseException):
    """The block took too long. No Exception, so that no code inside can take it for a fault of its own and go on."""


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Raise TimedOut inside the block when it takes longer, wherever it hangs; only a main thread can be interrupted.

    An alarm that was set before (RQ's own, for the whole job) is set again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimedOut(_("The task did not finish within %(seconds)d s and was stopped") % {"seconds": seconds})

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, late)
    left, _interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TimedOut:
        # A query that was interrupted would spoil the next one.
        connection.close()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001))

"""Children that heed an interrupt, wherever the tests themselves were started."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """For ``preexec_fn``: a shell makes its background jobs ignore SIGINT, and their children with them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

"""What the terminal shows: our own lines as they are, and of Beam's only warnings that mean something."""

from __future__ import annotations

import logging
import re

# Beam says the first two on every run: one concerns a metric of memory, one a file that only remote workers have. The
# third is the traceback of wherever Ctrl-C found it. The others tell of an engine's normal start and end.
_NOISE = (
    "Resource module is not available",
    "No semi_persistent_directory found",
    "KeyboardInterrupt [while running",
    "Really starting service",
    "Really destroying service",
    "Waiting for grpc channel",
    "process failed while running (envID",  # how Prism ends workers; of those that fail it says so otherwise, too
)
_PROGRESS = re.compile(r'message: "(.*rows done.*?)"')


def log_plainly() -> None:
    """Sets logging up for a command line. Calling it again is harmless."""
    logging.basicConfig(level=logging.WARNING)
    for root_handler in logging.getLogger().handlers:
        _set_filter(root_handler, _not_noise)
    workers = logging.getLogger("apache_beam.runners.portability.local_job_service")
    workers.setLevel(logging.INFO)
    _set_filter(workers, _worker_line)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("beam_recap")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _set_filter(place: logging.Filterer, function: logging._FilterType) -> None:
    if function not in place.filters:
        place.addFilter(function)


def _not_noise(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(noise in text for noise in _NOISE)


def _worker_line(record: logging.LogRecord) -> bool:
    """Worker processes log through Beam, as the text of a structure; their progress goes on as a line of ours."""
    if progress := _PROGRESS.search(record.getMessage()):
        logging.getLogger("beam_recap.progress").info("one worker: %s", progress.group(1))
        return False
    return record.levelno >= logging.WARNING and _not_noise(record)

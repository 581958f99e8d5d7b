"""Which exceptions are a picture's fault."""

from __future__ import annotations

from beam_recap.images.results import DecodeFailure
from beam_recap.isolation import describe_error
from beam_recap.records import Reason

# Not of a picture: somebody wants this process, or this generator, to end. Everything else a decoder may raise is the
# picture's, also what is no Exception: a panic in a Rust library is a BaseException.
FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit)


def failure_of(error: BaseException) -> DecodeFailure:
    """What an exception of a decoder means for the row."""
    # Pillow and libavif report it as an OSError or RuntimeError with such a message.
    is_memory = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
    return DecodeFailure(Reason.OUT_OF_MEMORY if is_memory else Reason.CORRUPT, describe_error(error))

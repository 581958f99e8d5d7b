"""What a failure was, in a sentence: from the exception that a run ended with."""

from __future__ import annotations

import re

import grpc

from beam_recap.isolation import describe_error

# What the system says of a file that it does not take.
_DISK = {
    5: "its device fails",
    27: "a limit of this process or of the file system allows no larger file",
    28: "no space is left on its device",
    30: "its file system is read-only",
    122: "the disk quota is used up",
}
_DISK_ERROR = re.compile(r"\[Errno (\d+)\] [^:\n]*: '([^'\n]+)'")
_STEP = re.compile(r"\[while running '([^'\n]+?)(?:-ptransform-\d+)?'\]")
_TRACE = "Traceback (most recent call last)"
_MEMORY = re.compile(r"\bMemoryError\b|OutOfMemoryError|out of memory|bad_alloc|Cannot allocate memory", re.IGNORECASE)
_DEVICE = re.compile(r"\bFatalModelError\b|CUDA error")
_MOST_CHARS = 600


def describe_failure(error: BaseException) -> str:
    """What failed and, where the exception tells, in which stage."""
    if isinstance(error, grpc.RpcError):
        return f"failed (the engine is gone: {error.details() or error.code().name})"
    text = str(error)
    if (disk := _disk_problem(text)) is not None:
        number, path = disk
        return f"{path} cannot be written, because {_DISK[number]}; put that right"
    said = _last_words(text) if _TRACE in text else describe_error(error)
    stage = stage_of(error)
    return f"failed ({said.split(' [while running ')[0][:_MOST_CHARS]})" + (f" in the stage {stage}" if stage else "")


def advice_for(error: BaseException) -> str:
    """What to do next, where the failure tells; "" where it does not."""
    text = f"{describe_error(error)} {error}"
    if _disk_problem(text) is not None:
        return ""
    if _DEVICE.search(text):
        return "If it happens again, restart the machine, or give --device=cpu"
    if _MEMORY.search(text):
        return "Memory ran out: give fewer workers (--direct_num_workers) or smaller batches (--caption_batch_size)"
    return ""


def stage_of(error: BaseException) -> str:
    """The stage in which an exception was raised, as the graph calls it; "" where that is not known."""
    found = _STEP.findall(str(error))
    return found[-1].split("/")[0] if found else ""


def _disk_problem(text: str) -> tuple[int, str] | None:
    found = [(int(number), path) for number, path in _DISK_ERROR.findall(text) if int(number) in _DISK]
    return found[-1] if found else None


def _last_words(trace: str) -> str:
    """The line after the last frame of a trace: a message may have further lines, which say less."""
    lines = trace.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    after = [line for line in lines[frames[-1] + 1 :] if line and not line.startswith(" ")] if frames else []
    return after[0] if after else lines[-1]

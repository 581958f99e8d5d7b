"""What the torch engines share: device and dtype by name, quiet libraries, and strictness about weights."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from beam_recap.terminal import VERBOSE

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
_NAMES_SHOWN = 3


class WeightsMismatch(ValueError):
    """The weights do not belong to the model: names or shapes differ, or the numbers cannot be used."""


def pick_device(name: str) -> torch.device:
    """The device called ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    ``"auto"`` is a GPU if there is one; of several the one with most memory free, so that copies of a model spread.

    Raises:
      ValueError: the name is none of these, or this machine has no such device.
    """
    import torch

    kind, _, number = name.partition(":")
    if name not in ("auto", "cpu", "cuda") and not (kind == "cuda" and number.isascii() and number.isdigit()):
        raise ValueError(f'--device={name}: it must be "auto", "cpu", "cuda" or "cuda:N".')
    if name == "auto":
        count = torch.cuda.device_count()
        if count > 1:
            torch.cuda.empty_cache()  # what this process keeps for later counts as taken
            return torch.device(f"cuda:{max(range(count), key=lambda number: torch.cuda.mem_get_info(number)[0])}")
        return torch.device("cuda" if count else "cpu")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device={name}: this machine has {torch.cuda.device_count()} CUDA devices; use --device=auto."
        )
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype called ``name``; ``"auto"`` is bfloat16 on CUDA, else float32.

    Raises:
      ValueError: the name is not one of `DTYPES`.
    """
    import torch

    if name not in DTYPES:
        raise ValueError(f"--dtype={name}: it must be one of {', '.join(DTYPES)}.")
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def quiet_transformers() -> None:
    """No progress bars, no advice, no telemetry, no conversion requests sent to the hub from a worker.

    With --verbose there is advice, too.
    """
    is_verbose = VERBOSE in os.environ
    for variable, value in (
        ("TRANSFORMERS_VERBOSITY", "info" if is_verbose else "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("DISABLE_SAFETENSORS_CONVERSION", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),  # its threads do not survive the forks of a worker pool
    ):
        os.environ.setdefault(variable, value)
    from transformers.utils import logging

    if not is_verbose:
        logging.set_verbosity_error()
    logging.disable_progress_bar()


def require_exact_weights(
    source: str, *, missing: Iterable[str] = (), unexpected: Iterable[str] = (), misshaped: Iterable[str] = ()
) -> None:
    """Refuses weights that do not fit their model exactly: libraries only warn and leave random numbers in place.

    Args:
      source: the weights' name for the message.
      missing: tensors of the model that the weights lack.
      unexpected: tensors of the weights that the model lacks.
      misshaped: tensors whose shapes differ, as ``name [theirs], not [the model's]``.

    Raises:
      WeightsMismatch: any of the three is not empty; up to three of each are named.
    """
    problems = []
    for kind, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshaped)):
        if listed := sorted(names):
            more = ", ..." if len(listed) > _NAMES_SHOWN else ""
            problems.append(f"{len(listed)} {kind} ({', '.join(listed[:_NAMES_SHOWN])}{more})")
    if problems:
        raise WeightsMismatch(f"{source}: the weights are not this model's: {'; '.join(problems)}.")

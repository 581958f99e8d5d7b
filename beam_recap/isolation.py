"""One bad row never costs its neighbours: a batch that fails is split until the culprit stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from beam_recap.records import MAX_DETAIL_CHARS, Reason

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """What a model gives for a row it could not do."""

    reason: Reason
    detail: str


class FatalModelError(RuntimeError):
    """The device is gone (a device-side assert, a lost GPU): no row of any batch can be done in this process."""


def run_isolated(
    items: Sequence[Item], run: Callable[[Sequence[Item]], Sequence[Result | ModelFailure]]
) -> list[Result | ModelFailure]:
    """Runs a batch; on an exception halves it until each failing row is alone.

    Args:
      items: the batch.
      run: gives one result per item, in order.

    Returns:
      One result or `ModelFailure` per item, in order.

    Raises:
      FatalModelError: the device is gone.
    """
    if not items:
        return []
    results = attempt(lambda: _run_whole(items, run))
    if not isinstance(results, ModelFailure):
        return results
    if len(items) == 1:
        return [results]
    half = len(items) // 2
    return run_isolated(items[:half], run) + run_isolated(items[half:], run)


def attempt(run: Callable[[], Result]) -> Result | ModelFailure:
    """Runs something of a model; an exception becomes a value.

    With the exception goes what it held on to, which can be most of a device's memory; that is given back.

    Raises:
      FatalModelError: the device is gone.
    """
    try:
        return run()
    except FatalModelError:
        raise
    except Exception as error:  # whatever a model raises
        if is_device_lost(error):
            raise FatalModelError(describe_error(error)) from error
        ran_out = is_out_of_memory(error)
        failure = ModelFailure(Reason.OUT_OF_MEMORY if ran_out else Reason.MODEL_ERROR, describe_error(error))
    if ran_out:
        _release_device_memory()
    return failure


def _run_whole(items: Sequence[Item], run: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    results = list(run(items))
    if len(results) != len(items):
        raise RuntimeError(f"the model gave {len(results)} results for {len(items)} rows")
    return results


def describe_error(error: BaseException) -> str:
    """``Type: first line of the message``, bounded."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:MAX_DETAIL_CHARS]


def is_out_of_memory(error: BaseException) -> bool:
    """Memory of the device or of the host ran out."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def is_device_lost(error: BaseException) -> bool:
    """After such an error every further CUDA call fails too."""
    text = str(error)
    return "CUDA error" in text and not is_out_of_memory(error)


def _release_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()

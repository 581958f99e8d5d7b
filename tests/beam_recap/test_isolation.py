from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from beam_recap.isolation import FatalModelError, ModelFailure, describe_error, is_out_of_memory, run_isolated
from beam_recap.records import MAX_DETAIL_CHARS, Reason


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.fixture(autouse=True)
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for torch's memory cache."""
    calls: list[str] = []
    cuda = SimpleNamespace(is_available=lambda: True, empty_cache=lambda: calls.append("emptied"))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return calls


class Model:
    """Doubles numbers, and fails on those that it cannot stand."""

    def __init__(self, bad: dict[int, Exception] | None = None, capacity: int = 1000):
        self.bad = bad or {}
        self.capacity = capacity
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        if len(items) > self.capacity:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return [item * 2 for item in items]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 16])
def test_a_sound_batch_runs_once(count: int) -> None:
    model = Model()
    assert run_isolated(range(count), model) == [2 * item for item in range(count)]
    assert len(model.batches) == min(count, 1)


@pytest.mark.parametrize("bad", [{0}, {6}, {3}, {0, 6}, {2, 3}, set(range(7))])
def test_failing_rows_stand_alone_and_their_neighbours_are_done(bad: set[int]) -> None:
    results = run_isolated(range(7), Model({item: ValueError(f"row {item}\nmore") for item in bad}))
    assert results == [
        ModelFailure(Reason.MODEL_ERROR, f"ValueError: row {item}") if item in bad else 2 * item for item in range(7)
    ]


def test_isolation_of_one_row_costs_a_logarithm_of_calls() -> None:
    model = Model({17: ValueError("bad")})
    run_isolated(range(64), model)
    assert len(model.batches) <= 2 * 6 + 1


def test_a_batch_too_large_for_memory_is_halved_until_it_fits(emptied: list[str]) -> None:
    model = Model(capacity=3)
    assert run_isolated(range(10), model) == [2 * item for item in range(10)]
    assert emptied  # the cache was given back before the next try


@pytest.mark.parametrize("error", [OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_row_too_large_for_memory_is_out_of_memory(error: Exception) -> None:
    first, second = run_isolated([1, 2], Model({2: error}))
    assert first == 2
    assert isinstance(second, ModelFailure) and second.reason is Reason.OUT_OF_MEMORY
    assert is_out_of_memory(error)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_batch_of_another_length_is_no_result(shift: int) -> None:
    """A model that loses a row of a batch must not shift its neighbours' results."""

    def run(items: Sequence[int]) -> list[int]:
        return list(items) if len(items) == 1 else (list(items) * 2)[: len(items) + shift]

    assert run_isolated([5, 6, 7], run) == [5, 6, 7]


def test_a_model_that_gives_nothing_for_a_row_fails_that_row() -> None:
    (failure,) = run_isolated([1], lambda items: [])
    assert failure == ModelFailure(Reason.MODEL_ERROR, "RuntimeError: the model gave 0 results for 1 rows")


@pytest.mark.parametrize("items", [[1], [0, 1, 2, 3]])
def test_a_lost_device_ends_the_batch(items: list[int]) -> None:
    model = Model({1: RuntimeError("CUDA error: device-side assert triggered\nhint")})
    with pytest.raises(FatalModelError, match="device-side assert") as caught:
        run_isolated(items, model)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert len(model.batches) == 1  # no further try on a dead device


def test_interruptions_are_not_swallowed() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_isolated([1, 2], run)


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("a\nb"), "ValueError: a"), (ValueError(), "ValueError: "), (KeyError("k"), "KeyError: 'k'")],
)
def test_errors_are_described_in_a_line(error: Exception, text: str) -> None:
    assert describe_error(error) == text


def test_descriptions_are_bounded() -> None:
    assert len(describe_error(ValueError("x" * 10_000))) == MAX_DETAIL_CHARS

"""The engine as on a GPU, where one captured step is replayed; what captures and replays is played on a CPU.

That a GPU can capture the step only a GPU can tell. What the engine does around it is the same everywhere: trial steps
that must leave no trace, buffers that stay where they are, and steps without a graph where it cannot be captured.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.untrained_models import NEW_TOKENS, noise_images

from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_checkpoint import open_checkpoint
from beam_recap.models.slot_captioner import SlotCaptioner
from beam_recap.models.slots.engine import SlotEngine
from beam_recap.prompts import RECAP_PROMPT


class PlayedCuda:
    """Stands in for CUDA's streams and graphs: a graph replays by computing into the tensors that were captured."""

    def __init__(self) -> None:
        self.engine: SlotEngine[Any] | None = None
        self.captures = self.replays = 0
        self.failure: Exception | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Stream:
            def wait_stream(self, other: Stream) -> None:
                assert isinstance(other, Stream)

        class Graph:
            def replay(graph) -> None:
                engine = self.engine
                assert engine is not None and engine._graph is graph
                self.replays += 1
                engine._graph_output.copy_(engine._compute_step())

        @contextlib.contextmanager
        def capture(graph: Graph, capture_error_mode: str) -> Iterator[None]:
            assert capture_error_mode == "thread_local"
            self.captures += 1
            if self.failure is not None:
                raise self.failure
            yield

        for name, stand_in in (
            ("device", lambda device: contextlib.nullcontext()),
            ("Stream", Stream),
            ("current_stream", Stream),
            ("stream", lambda stream: contextlib.nullcontext()),
            ("CUDAGraph", Graph),
            ("graph", capture),
        ):
            monkeypatch.setattr(torch.cuda, name, stand_in)


Make = Callable[..., tuple[SlotCaptioner, PlayedCuda]]


@pytest.fixture
def make(llava_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a captioner of 4 slots whose engine takes this for a GPU."""
    made: list[SlotCaptioner] = []

    def make(failure: Exception | None = None) -> tuple[SlotCaptioner, PlayedCuda]:
        checkpoint = open_checkpoint(str(llava_folder), None, "cpu", "auto", RECAP_PROMPT)
        captioner = SlotCaptioner.of(checkpoint, max_new_tokens=NEW_TOKENS, slots=4, group=2)
        played = PlayedCuda()
        played.install(monkeypatch)
        played.failure = failure
        played.engine = captioner._scheduler._engine
        played.engine._use_graph = True
        made.append(captioner)
        return captioner, played

    yield make
    for captioner in made:
        captioner.close()


def test_captions_are_those_of_generate(captioner: Captioner, make: Make) -> None:
    quick, played = make()
    images = noise_images(23)
    assert quick.caption(images) == captioner.caption(images)
    assert played.engine is not None
    assert played.captures == 1
    assert played.replays == played.engine.counts.steps > 0


def test_other_slots_are_captured_anew(captioner: Captioner, make: Make) -> None:
    quick, played = make()
    images = noise_images(9)
    expected = captioner.caption(images)
    assert quick.caption(images) == expected
    assert played.engine is not None
    played.engine.resize(3)
    assert quick.caption(images) == expected
    assert played.captures == 2


def test_what_cannot_be_captured_runs_without(
    captioner: Captioner, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    quick, played = make(RuntimeError("operation not permitted when stream is capturing"))
    images = noise_images(9)
    with caplog.at_level(logging.WARNING):
        assert quick.caption(images) == captioner.caption(images)
    assert (played.captures, played.replays) == (1, 0)
    assert [record.message for record in caplog.records if "captured" in record.message] == [
        "a step cannot be captured as a CUDA graph, and is slower without: RuntimeError: operation not permitted when "
        "stream is capturing"
    ]


def test_memory_that_runs_out_while_capturing_halves_the_slots(captioner: Captioner, make: Make) -> None:
    quick, played = make(torch.cuda.OutOfMemoryError("CUDA out of memory."))
    images = noise_images(9)

    def capture_at_last(slots: int, resize: Callable[[int], None]) -> None:
        resize(slots)
        played.failure = None

    assert played.engine is not None
    resize = played.engine.resize
    played.engine.resize = lambda slots: capture_at_last(slots, resize)  # type: ignore[method-assign]
    assert quick.caption(images) == captioner.caption(images)
    assert played.engine.slots == 2
    assert (played.captures, quick.take_splits()) == (2, 1)

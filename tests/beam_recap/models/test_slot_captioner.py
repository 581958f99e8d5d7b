"""The quick captioner against transformers' own `generate`, and against everything that can go wrong."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.untrained_models import NEW_TOKENS, noise_images

from beam_recap.demo import paths
from beam_recap.demo.evaluate import held_out_pictures
from beam_recap.isolation import FatalModelError, ModelFailure
from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_checkpoint import open_checkpoint
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.slot_captioner import SlotCaptioner
from beam_recap.models.slots.engine import EngineCounts, SlotEngine, Writing
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason

MARKED = np.full((40, 40, 3), 2, np.uint8)  # square, so that no brighter margin is added
LOST = "CUDA error: device-side assert triggered"


@pytest.fixture
def slots(llava_folder: Path) -> Iterator[Callable[..., SlotCaptioner]]:
    """Makes captioners that are closed at the end."""
    made = []

    def make(slots: int = 8, group: int | None = None) -> SlotCaptioner:
        checkpoint = open_checkpoint(str(llava_folder), None, "cpu", "auto", RECAP_PROMPT)
        made.append(SlotCaptioner.of(checkpoint, max_new_tokens=NEW_TOKENS, slots=slots, group=group))
        return made[-1]

    yield make
    for captioner in made:
        captioner.close()


def engine_of(captioner: SlotCaptioner) -> SlotEngine[Any]:
    return captioner._scheduler._engine


def is_marked(pixels: torch.Tensor) -> bool:
    """Whether pixels ``[3, H, W]`` are those of `MARKED`: no other picture is so dark."""
    return bool(pixels.amax() < -1)


def has_marked(captioner: SlotCaptioner) -> bool:
    return any(is_marked(row.pixels) for row in engine_of(captioner).live)


@pytest.mark.parametrize(("count", "group"), [(1, 1), (3, 2), (8, 8), (8, 3), (64, 16)])
def test_equals_generate(captioner: Captioner, slots: Callable[..., SlotCaptioner], count: int, group: int) -> None:
    images = noise_images(37)
    expected = captioner.caption(images)
    assert {caption.truncated for caption in expected} == {True, False}  # type: ignore[union-attr]
    quick = slots(count, group)
    assert quick.caption(images) == expected
    assert quick.caption(images[:5]) == expected[:5]
    assert quick.caption([]) == []
    assert quick.model_id == captioner.model_id


def test_equals_generate_on_the_trained_model() -> None:
    images = [picture for _, picture in held_out_pictures(48, 21)]
    plain = load_captioner(str(paths.CAPTIONER), engine="generate", device="cpu")
    quick = load_captioner(str(paths.CAPTIONER), device="cpu", batch_size=12)
    assert isinstance(quick, SlotCaptioner) and isinstance(plain, Captioner)
    expected = plain.caption(images)
    assert quick.caption(images) == expected
    trace = quick.caption(images[:1])[0].trace  # type: ignore[union-attr]
    assert trace is not None and trace.prompt_tokens > 36 and trace.decode_s > 0
    assert trace.occupancy == 1 / 12
    quick.close()


def test_slots_are_filled_again(slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, counted: far fewer than batches of the same size would take, each as long as its longest caption."""
    lengths = random.Random(3).choices(range(1, NEW_TOKENS), k=40)
    drawn: dict[Any, int] = {}

    def is_end(self: SlotEngine[Any], writing: Writing[Any], token: int) -> bool:
        return len(writing.ids) == drawn.setdefault(writing.key, lengths[len(drawn) % 40])

    quick = slots(4, 1)
    monkeypatch.setattr(SlotEngine, "_is_end", is_end)
    captions = quick.caption(noise_images(40))
    # Pictures are prepared side by side, so their order is not that of the call.
    assert sorted(caption.tokens for caption in captions) == sorted(drawn.values()) == sorted(lengths)  # type: ignore[union-attr]
    counts = engine_of(quick).counts
    # A caption's first token comes from reading its prompt; its end token takes a step as any other.
    assert counts.live_slot_steps == sum(lengths)
    assert counts.slot_steps == 4 * counts.steps
    assert counts.prefills == counts.prefilled_rows == 41  # with the grey one
    batches = sum(max(lengths[start : start + 4]) for start in range(0, 40, 4))
    assert sum(lengths) / 4 <= counts.steps < 0.75 * batches
    occupancy = counts.occupancy_since(EngineCounts())
    assert occupancy is not None and occupancy > 0.9


def test_callers_share_the_slots(captioner: Captioner, slots: Callable[..., SlotCaptioner]) -> None:
    images = noise_images(32)
    expected = captioner.caption(images)
    quick = slots(16, 8)
    before = engine_of(quick).counts.steps
    got: dict[int, Any] = {}
    ready = threading.Barrier(8)

    def call(number: int) -> None:
        ready.wait()
        got[number] = quick.caption(images[4 * number : 4 * number + 4])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [caption for number in range(8) for caption in got[number]] == expected
    # One after the other they would take 8 times the longest.
    assert engine_of(quick).counts.steps - before < 4 * NEW_TOKENS


def test_pictures_that_are_none(captioner: Captioner, slots: Callable[..., SlotCaptioner]) -> None:
    images: list[Any] = noise_images(6)
    expected = captioner.caption(images)
    images[1], images[4] = np.zeros((3, 3), np.uint8), np.zeros((4, 4, 3), np.float32)
    got = slots().caption(images)
    for number in (1, 4):
        failure = got[number]
        assert isinstance(failure, ModelFailure) and failure.reason == Reason.MODEL_ERROR
        assert "uint8 [H, W, 3]" in failure.detail
    assert [got[i] for i in (0, 2, 3, 5)] == [expected[i] for i in (0, 2, 3, 5)]


def test_pictures_of_odd_shapes(captioner: Captioner, slots: Callable[..., SlotCaptioner]) -> None:
    images = [np.full(shape, 90, np.uint8) for shape in ((1, 1, 3), (1, 900, 3), (900, 2, 3), (3, 4, 3), (60, 60, 3))]
    assert slots().caption(images) == captioner.caption(images)


def test_logits_that_are_no_numbers(
    captioner: Captioner, slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise_images(20)
    expected = captioner.caption(images)
    for number in (0, 7, 13):
        images[number] = MARKED
    quick = slots(4, 2)
    features = quick._scheduler._engine._model.get_image_features

    def broken(pixels: torch.Tensor, **options: Any) -> Any:
        output = features(pixels, **options)
        for row, one in enumerate(pixels):
            if is_marked(one):
                output.pooler_output[row].fill_(torch.nan)
        return output

    monkeypatch.setattr(quick._scheduler._engine._model, "get_image_features", broken)
    got = quick.caption(images)
    for number in (0, 7, 13):
        assert got[number] == ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")
    others = [number for number in range(20) if number not in (0, 7, 13)]
    assert [got[number] for number in others] == [expected[number] for number in others]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("poison"), Reason.MODEL_ERROR), (torch.OutOfMemoryError("too long"), Reason.OUT_OF_MEMORY)],
)
@pytest.mark.parametrize("where", ["admit", "step"])
def test_one_bad_row_costs_nobody_else(
    captioner: Captioner,
    slots: Callable[..., SlotCaptioner],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
    reason: Reason,
) -> None:
    images = noise_images(21)
    expected = captioner.caption(images)
    images[9] = MARKED
    quick = slots(8, 4)
    admit, step = SlotEngine.admit, SlotEngine.step

    def broken_admit(self: SlotEngine[Any], rows: Sequence[Any]) -> Any:
        if where == "admit" and any(is_marked(pixels) for _, _, pixels in rows):
            raise error
        return admit(self, rows)

    def broken_step(self: SlotEngine[Any]) -> Any:
        if where == "step" and has_marked(quick):
            raise error
        return step(self)

    monkeypatch.setattr(SlotEngine, "admit", broken_admit)
    monkeypatch.setattr(SlotEngine, "step", broken_step)
    got = quick.caption(images)
    assert got[9] == ModelFailure(reason, f"{type(error).__name__}: {error}")
    assert got[:9] + got[10:] == expected[:9] + expected[10:]
    monkeypatch.undo()
    assert quick.caption(images[:4]) == expected[:4]
    assert engine_of(quick).slots == 8  # it was the row
    assert quick._scheduler._group == 4


def test_memory_that_runs_out_while_prompts_are_read(
    captioner: Captioner, slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise_images(30)
    expected = captioner.caption(images)
    quick = slots(16, 16)
    admit, sizes = SlotEngine.admit, []

    def small(self: SlotEngine[Any], rows: Sequence[Any]) -> Any:
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return admit(self, rows)

    monkeypatch.setattr(SlotEngine, "admit", small)
    assert quick.caption(images) == expected
    assert quick.take_splits() == sum(size > 3 for size in sizes) > 0
    assert quick.take_splits() == 0
    sizes.clear()
    assert quick.caption(images) == expected
    assert max(sizes) <= 3  # it has learned
    assert engine_of(quick).slots == 16


def test_memory_that_runs_out_while_captions_are_written(
    captioner: Captioner, slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = noise_images(30)
    expected = captioner.caption(images)
    quick = slots(16, 4)
    step = SlotEngine.step

    def small(self: SlotEngine[Any]) -> Any:
        if self.slots > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self)

    monkeypatch.setattr(SlotEngine, "step", small)
    assert quick.caption(images) == expected
    assert engine_of(quick).slots == 4
    assert quick.take_splits() == 2


@pytest.mark.parametrize("where", ["admit", "step"])
def test_a_lost_device_ends_everything(
    slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    quick = slots(4, 2)
    calls = []

    def lost(self: SlotEngine[Any], *arguments: Any) -> Any:
        calls.append(1)
        raise RuntimeError(LOST)

    monkeypatch.setattr(SlotEngine, where, lost)
    outcomes: list[BaseException] = []

    def call() -> None:
        try:
            quick.caption(noise_images(9))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [type(error) for error in outcomes] == [FatalModelError] * 3
    assert all(LOST in str(error) for error in outcomes)
    with pytest.raises(FatalModelError, match="device-side assert"):
        quick.caption(noise_images(1))
    assert calls == [1]  # a lost device is not asked again


def test_a_fault_of_the_thread_hangs_nobody(
    slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = slots(4, 2)

    def broken(self: Any) -> int:
        raise KeyError("a fault of our own")

    monkeypatch.setattr(type(quick._scheduler), "_rows_to_admit", broken)
    with pytest.raises(FatalModelError, match="a fault of our own"):
        quick.caption(noise_images(3))


def test_closing_ends_what_waits(slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch) -> None:
    quick = slots(2, 1)
    step = SlotEngine.step

    def slow(self: SlotEngine[Any]) -> Any:
        time.sleep(0.02)
        return step(self)

    monkeypatch.setattr(SlotEngine, "step", slow)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            quick.caption(noise_images(60))
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    quick.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1 and "closed" in str(errors[0])


def test_nobody_keeps_a_captioner_that_is_forgotten(llava_folder: Path) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("beam-recap")}
    quick = SlotCaptioner.of(open_checkpoint(str(llava_folder), None, "cpu", "auto", RECAP_PROMPT), max_new_tokens=4)
    quick.caption(noise_images(3))
    del quick
    gc.collect()
    after = {thread for thread in threading.enumerate() if thread.name.startswith("beam-recap") and thread.is_alive()}
    assert not {thread.name for thread in after - before if thread.name == "beam-recap-captioner"}


def test_the_choice_of_an_engine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = str(save_with_another_language_model(tmp_path / "qwen"))
    with pytest.raises(
        ValueError, match=r"--caption_engine=slots: qwen cannot run there: .*qwen2.*use auto or generate"
    ):
        load_captioner(folder, engine="slots", device="cpu", max_new_tokens=4)
    with caplog.at_level("INFO"):
        plain = load_captioner(folder, device="cpu", max_new_tokens=4)
    assert isinstance(plain, Captioner)
    assert "qwen2" in caplog.text
    images = noise_images(3)
    assert plain.caption(images) == load_captioner(folder, engine="generate", device="cpu", max_new_tokens=4).caption(
        images
    )
    with pytest.raises(ValueError, match="at least 1"):
        load_captioner(folder, batch_size=0)


def save_with_another_language_model(folder: Path) -> Path:
    """A LLaVA as the others, but with a Qwen2."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen2Config

    from beam_recap.demo import tiny_models as tiny

    model, processor = tiny.build_llava()
    text = model.config.text_config
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config = LlavaConfig(
        vision_config=model.config.vision_config,
        text_config=Qwen2Config(
            **{name: getattr(text, name) for name in sizes},
            num_key_value_heads=2,
            bos_token_id=text.bos_token_id,
            eos_token_id=text.eos_token_id,
            pad_token_id=text.pad_token_id,
        ),
        image_token_index=model.config.image_token_id,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    torch.manual_seed(1)
    other = LlavaForConditionalGeneration(config)
    other.generation_config = model.generation_config
    other.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

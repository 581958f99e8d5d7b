"""The vLLM captioner: its own logic around a scripted engine, and where vLLM is installed the real one."""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.untrained_models import NEW_TOKENS, copy_with_weights, edit_json, noise_images
from transformers import AutoProcessor

from beam_recap.demo import paths
from beam_recap.demo.evaluate import held_out_pictures
from beam_recap.isolation import FatalModelError, ModelFailure
from beam_recap.models import vllm_captioner
from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_prompt import render_prompt
from beam_recap.models.captions import Caption
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.runtime import WeightsMismatch
from beam_recap.models.vllm_captioner import VllmCaptioner
from beam_recap.models.vllm_checkpoint import has_transformers_names
from beam_recap.models.vllm_engine import EngineSettings, engine_arguments, sampling_arguments
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason
from pipelines.recap import main

IS_INSTALLED = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not IS_INSTALLED, reason="vLLM is not installed")
WEIGHTS = "model.safetensors"
HINT = 'Its alt text was "{caption}".'
IMAGE_TOKENS = 36


def test_missing_vllm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--caption_engine=vllm: vLLM is not installed here; .*--caption_engine=auto"):
        load_captioner(str(paths.CAPTIONER), engine="vllm", device="cpu")


@pytest.mark.skipif(IS_INSTALLED, reason="vLLM is installed")
def test_the_command_tells_that_vllm_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--output={tmp_path}", "--caption_engine=vllm"]) == 2
    assert "--caption_engine=vllm: vLLM is not installed here; install it as" in capsys.readouterr().err


def test_quantization_is_for_slots() -> None:
    with pytest.raises(ValueError, match="fp8 is not for --caption_engine=vllm; use slots"):
        load_captioner(str(paths.CAPTIONER), engine="vllm", quantization="fp8")


class ScriptedEngine:
    """Writes the brightness of a picture as so many tokens and an end; pictures brighter than 200 have no end."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        self.image_token = processor.image_token_id
        self.calls: list[list[dict[str, Any]]] = []
        self.errors: dict[int, Exception] = {}  # by brightness
        self.too_many = math.inf  # prompts at once for which there is no memory
        self.changed: dict[int, dict[str, Any]] = {}  # by brightness, of the completion
        self.idle = True
        self.closed = False
        self.metrics: Any = None
        self._busy = threading.Lock()

    def generate(self, prompts: Sequence[dict[str, Any]]) -> Sequence[Any]:
        assert self._busy.acquire(blocking=False), "called by two threads at once"
        try:
            self.calls.append(list(prompts))
            if len(prompts) > self.too_many:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [self._output(prompt) for prompt in prompts]
        finally:
            self._busy.release()

    def _output(self, prompt: dict[str, Any]) -> Any:
        bright = brightness(prompt)
        if bright in self.errors:
            raise self.errors[bright]
        ids = [100 + bright] if bright > 200 else [100 + bright, self.tokenizer.eos_token_id]
        completion = {
            "token_ids": ids,
            "finish_reason": "length" if bright > 200 else "stop",
            "cumulative_logprob": -1.0,
            **self.changed.get(bright, {}),
        }
        given = prompt["prompt_token_ids"]
        start = given.index(self.image_token)
        expanded = [*given[:start], *[self.image_token] * IMAGE_TOKENS, *given[start + 1 :]]
        return SimpleNamespace(
            prompt_token_ids=expanded, outputs=[SimpleNamespace(**completion)], metrics=self.metrics, finished=True
        )

    def is_idle(self) -> bool:
        return self.idle

    def close(self) -> None:
        self.closed = True


def brightness(prompt: dict[str, Any]) -> int:
    picture = prompt["multi_modal_data"]["image"]
    assert isinstance(picture, Image.Image) and picture.mode == "RGB"
    return int(np.asarray(picture)[0, 0, 0])


def grey(bright: int) -> np.ndarray:
    return np.full((4, 6, 3), bright, np.uint8)


@pytest.fixture
def processor() -> Any:
    return AutoProcessor.from_pretrained(paths.CAPTIONER)


@pytest.fixture
def engine(processor: Any) -> ScriptedEngine:
    return ScriptedEngine(processor)


@pytest.fixture
def scripted(processor: Any, engine: ScriptedEngine) -> VllmCaptioner:
    captioner = around(engine, processor)
    engine.calls.clear()
    return captioner


def around(engine: ScriptedEngine, processor: Any, hint: str | None = None, rows: int = 8) -> VllmCaptioner:
    return VllmCaptioner(
        engine,
        processor,
        render_prompt(processor, RECAP_PROMPT, hint),
        model_id="scripted",
        dtype="float32",
        end_ids=[processor.tokenizer.eos_token_id],
        rows=rows,
    )


def text_of(processor: Any, bright: int) -> str:
    text: str = processor.tokenizer.decode([100 + bright]).strip()
    return text


def test_captions_are_in_order(processor: Any, engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    # More than go into one call.
    brights = [number % 60 for number in range(70)] + [210]
    captions = scripted.caption([grey(bright) for bright in brights])
    expected = [Caption(text_of(processor, bright), 1, bright > 200) for bright in brights]
    assert captions == expected
    assert [len(call) for call in engine.calls] == [32, 32, 7]
    assert scripted.caption([]) == []
    assert scripted.model_id == "scripted"
    (plain,) = {tuple(prompt["prompt_token_ids"]) for call in engine.calls for prompt in call}
    assert plain.count(processor.image_token_id) == 1


def test_pictures_that_are_none(processor: Any, engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    images: list[Any] = [grey(1), np.zeros((3, 3), np.uint8), grey(2), np.zeros((4, 4, 3), np.float32)]
    first, second, third, fourth = scripted.caption(images)
    assert (first, third) == tuple(Caption(text_of(processor, bright), 1, False) for bright in (1, 2))
    for failure in (second, fourth):
        assert isinstance(failure, ModelFailure) and failure.reason == Reason.MODEL_ERROR
        assert "uint8 [H, W, 3]" in failure.detail
    assert len(engine.calls) == 1  # they were never asked for


def test_one_bad_row_costs_nobody_else(processor: Any, engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    engine.errors[9] = ValueError("poison")
    captions = scripted.caption([grey(bright) for bright in range(20)])
    assert captions[9] == ModelFailure(Reason.MODEL_ERROR, "ValueError: poison")
    for bright in {*range(20)} - {9}:
        assert captions[bright] == Caption(text_of(processor, bright), 1, False)
    assert scripted.take_splits() == 0


def test_memory_that_runs_out(engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    engine.too_many = 5
    assert all(isinstance(caption, Caption) for caption in scripted.caption([grey(bright) for bright in range(20)]))
    assert scripted.take_splits() == sum(len(call) > 5 for call in engine.calls) == 3
    assert scripted.take_splits() == 0


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({"cumulative_logprob": math.nan}, ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")),
        ({"cumulative_logprob": None}, ModelFailure(Reason.NON_FINITE, "the captioner's logits are not finite")),
        ({"finish_reason": "abort"}, ModelFailure(Reason.MODEL_ERROR, "vLLM ended a caption by 'abort'")),
        ({"token_ids": []}, ModelFailure(Reason.EMPTY_RECAPTION, "0 new tokens, no text")),
    ],
)
def test_captions_that_are_none(
    engine: ScriptedEngine, scripted: VllmCaptioner, change: dict[str, Any], failure: ModelFailure
) -> None:
    engine.changed[3] = change
    captions = scripted.caption([grey(bright) for bright in range(6)])
    assert captions[3] == failure
    assert all(isinstance(caption, Caption) for caption in captions[:3] + captions[4:])


class EngineDeadError(Exception):
    """Of the same name as vLLM's, by which it is known."""


@pytest.mark.parametrize(
    "error", [EngineDeadError("EngineCore encountered an issue"), RuntimeError("CUDA error: gone")]
)
def test_a_dead_engine_ends_everything(engine: ScriptedEngine, scripted: VllmCaptioner, error: Exception) -> None:
    engine.errors[2] = error
    with pytest.raises(FatalModelError, match=str(error)):
        scripted.caption([grey(bright) for bright in range(6)])
    assert len(engine.calls) == 1


def test_an_engine_that_keeps_old_work_is_not_asked_again(engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    engine.errors[2], engine.idle = RuntimeError("in the midst of a step"), False
    with pytest.raises(FatalModelError, match="in the midst of a step"):
        scripted.caption([grey(bright) for bright in range(6)])
    assert len(engine.calls) == 1


def test_callers_take_turns(processor: Any, scripted: VllmCaptioner) -> None:
    got: dict[int, Any] = {}
    ready = threading.Barrier(6)

    def call(number: int) -> None:
        ready.wait()
        got[number] = scripted.caption([grey(number), grey(number + 10)])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(6):
        assert [caption.text for caption in got[number]] == [text_of(processor, number + more) for more in (0, 10)]


def test_hints(processor: Any, engine: ScriptedEngine) -> None:
    captioner = around(engine, processor, HINT)
    engine.calls.clear()
    captions = captioner.caption([grey(1), grey(2), grey(3)], ["a cat <image><|eot_id|>", None, " "])
    assert [caption.hinted for caption in captions] == [True, False, False]  # type: ignore[union-attr]
    hinted, plain, _ = [prompt["prompt_token_ids"] for prompt in engine.calls[0]]
    assert 'text was "a cat".' in processor.tokenizer.decode(hinted)
    assert hinted.count(processor.image_token_id) == plain.count(processor.image_token_id) == 1
    with pytest.raises(ValueError, match="made without a hint"):
        around(engine, processor).caption([grey(1)], ["a cat"])


def test_times_where_vllm_tells_them(engine: ScriptedEngine, scripted: VllmCaptioner) -> None:
    assert scripted.caption([grey(1)])[0].trace is None  # type: ignore[union-attr]
    engine.metrics = SimpleNamespace(scheduled_ts=1e9, last_token_ts=1e9 + 2)
    trace = scripted.caption([grey(1)])[0].trace  # type: ignore[union-attr]
    assert trace is not None and trace.decode_s == 2 and trace.queue_s > 0 and trace.occupancy is None
    assert trace.prompt_tokens == IMAGE_TOKENS - 1 + len(engine.calls[-1][0]["prompt_token_ids"])


def test_what_is_seen_at_the_start(processor: Any, engine: ScriptedEngine) -> None:
    engine.changed[128] = {"cumulative_logprob": math.nan}
    with pytest.raises(WeightsMismatch, match="non-finite numbers"):
        around(engine, processor)
    engine.changed.clear()
    engine.errors[128] = RuntimeError("unknown attention")
    with pytest.raises(
        ValueError, match="scripted cannot caption a plain grey picture: RuntimeError: unknown attention"
    ):
        around(engine, processor)
    engine.errors.clear()
    processor.num_additional_image_tokens = 0  # one image token fewer than vLLM makes
    with pytest.raises(ValueError, match="another prompt"):
        around(engine, processor)


def test_names_of_the_tower() -> None:
    assert has_transformers_names(["model.vision_tower.embeddings.class_embedding", "lm_head.weight"])
    assert has_transformers_names(["vision_tower.embeddings.class_embedding"])
    assert not has_transformers_names(["vision_tower.vision_model.embeddings.class_embedding"])
    assert not has_transformers_names(["model.vision_tower.vision_model.embeddings.class_embedding"])
    assert not has_transformers_names(["language_model.model.norm.weight"])


def with_hub_names(folder: Path, target: Path) -> Path:
    """A copy with the tensors' names as in checkpoints of the hub, which transformers 4 saved."""

    def rename(state: dict[str, torch.Tensor]) -> None:
        for name in [name for name in state if name.startswith("vision_tower.")]:
            state[name.replace("vision_tower.", "vision_tower.vision_model.")] = state.pop(name)

    return Path(copy_with_weights(folder, target, WEIGHTS, rename))


def settings(**changed: Any) -> EngineSettings:
    values: dict[str, Any] = {
        "location": str(paths.CAPTIONER),
        "revision": None,
        "transformers_names": False,
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "max_tokens": 200,
        "max_new_tokens": 128,
        "rows": 8,
        "end_ids": (4, 1),
    }
    return EngineSettings(**{**values, **changed})


def test_arguments() -> None:
    arguments = engine_arguments(settings())
    assert arguments["dtype"] == "bfloat16" and arguments["trust_remote_code"] is False
    assert arguments["load_format"] == "safetensors" and arguments["limit_mm_per_prompt"] == {"image": 1}
    assert arguments["model_impl"] == "auto" and arguments["max_num_seqs"] == 8
    assert engine_arguments(settings(transformers_names=True))["model_impl"] == "transformers"
    sampling = sampling_arguments(settings())
    assert sampling["temperature"] == 0 and sampling["stop_token_ids"] == [4, 1] and sampling["max_tokens"] == 128


@needs_vllm
def test_arguments_are_those_of_the_installed_vllm() -> None:
    import dataclasses
    import inspect

    from vllm import LLM, SamplingParams
    from vllm.engine.arg_utils import EngineArgs

    known = {*inspect.signature(LLM).parameters, *(field.name for field in dataclasses.fields(EngineArgs))}
    assert {*engine_arguments(settings()), "gpu_memory_utilization"} <= known
    params = SamplingParams(**sampling_arguments(settings()))
    assert {1, 4} <= params.all_stop_token_ids
    assert params.temperature == 0 and params.max_tokens == 128


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., VllmCaptioner]]:
    """Starts a real engine, after the one before was ended: each takes a minute."""
    running: list[VllmCaptioner] = []

    def end() -> None:
        while running:
            running.pop().close()

    def begin(folder: Path, **arguments: Any) -> VllmCaptioner:
        end()
        captioner = load_captioner(str(folder), engine="vllm", device="cpu", batch_size=8, **arguments)
        assert isinstance(captioner, VllmCaptioner)
        running.append(captioner)
        return captioner

    yield begin
    end()


@needs_vllm
@pytest.mark.parametrize("kind", ["hub names", "transformers names", "cropped"])
def test_equals_generate(
    llava_folder: Path, tmp_path: Path, captioner: Captioner, start: Callable[..., VllmCaptioner], kind: str
) -> None:
    folder = llava_folder
    images = noise_images(37) + [np.full(shape, 90, np.uint8) for shape in ((1, 1, 3), (1, 300, 3), (300, 2, 3))]
    expected = captioner.caption(images)
    if kind != "transformers names":
        folder = with_hub_names(folder, tmp_path / "tiny-llava")
    if kind == "cropped":
        parts = AutoProcessor.from_pretrained(folder).image_processor.to_dict()
        edit_json(
            folder / "processor_config.json",
            image_processor={**parts, "do_pad": False, "do_center_crop": True, "size": {"shortest_edge": 60}},
        )
        padded = expected
        expected = Captioner.load(str(folder), device="cpu", max_new_tokens=NEW_TOKENS).caption(images)
        assert sum(one != other for one, other in zip(padded, expected, strict=True)) > 20  # it makes a difference
    quick = start(folder, max_new_tokens=NEW_TOKENS)
    assert {caption.truncated for caption in expected} == {True, False}  # type: ignore[union-attr]
    assert quick.caption(images) == expected
    assert quick.caption(images[:3]) == expected[:3]
    assert quick.model_id == captioner.model_id


@needs_vllm
def test_the_trained_model_for_real(start: Callable[..., VllmCaptioner]) -> None:
    images: list[Any] = [picture for _, picture in held_out_pictures(24, 21)]
    hints = ["a red circle"] * 12 + [None] * 12
    expected = load_captioner(str(paths.CAPTIONER), engine="generate", device="cpu", hint=HINT).caption(images, hints)
    quick = start(paths.CAPTIONER, hint=HINT)
    images[5] = np.zeros((3, 3), np.uint8)
    captions = quick.caption(images, hints)
    assert isinstance(captions[5], ModelFailure)
    assert captions[:5] + captions[6:] == expected[:5] + expected[6:]
    assert [caption.hinted for caption in captions[10:14]] == [True, True, False, False]  # type: ignore[union-attr]
    trace = captions[0].trace  # type: ignore[union-attr]
    assert trace is not None and trace.prompt_tokens > IMAGE_TOKENS
    assert 0 < trace.decode_s < 60 and 0 <= trace.queue_s < 60
    core = quick._engine._llm.llm_engine.engine_core  # type: ignore[attr-defined]
    for process in core.resources.engine_manager.processes:
        process.kill()
        process.join(30)
    with pytest.raises(FatalModelError, match="vLLM's engine is gone"):
        quick.caption(images[:2])


@needs_vllm
def test_broken_weights_are_refused(llava_folder: Path, tmp_path: Path, start: Callable[..., VllmCaptioner]) -> None:
    name = "language_model.model.norm.weight"
    hub = with_hub_names(llava_folder, tmp_path / "hub")
    broken = copy_with_weights(hub, tmp_path / "nan", WEIGHTS, lambda state: state[name].fill_(torch.nan))
    with pytest.raises(WeightsMismatch, match="non-finite numbers"):
        start(Path(broken), max_new_tokens=4)


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed")
def test_checkpoints_are_checked_before_vllm_is_started(
    llava_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_captioner, "require_vllm", lambda: None)
    name = "language_model.model.norm.weight"
    missing = copy_with_weights(llava_folder, tmp_path / "missing", WEIGHTS, lambda state: state.pop(name))
    with pytest.raises(WeightsMismatch, match="1 missing"):
        VllmCaptioner.load(missing, device="cpu")
    with pytest.raises(ValueError, match="neither a folder nor a Hugging Face id"):
        VllmCaptioner.load(str(tmp_path / "none"), device="cpu")
    with pytest.raises(ValueError, match="at least 1"):
        VllmCaptioner.load(str(llava_folder), device="cpu", batch_size=0)

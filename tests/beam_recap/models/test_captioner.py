from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.untrained_models import NEW_TOKENS, edit_json, noise_images
from transformers import AutoModelForImageTextToText, AutoProcessor

from beam_recap.demo import tiny_models
from beam_recap.isolation import FatalModelError, ModelFailure
from beam_recap.models.captioner import Caption, Captioner
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason

MARKED = np.zeros((40, 40, 3), np.uint8)  # no other test picture is black


def marked_rows(pixels: torch.Tensor) -> torch.Tensor:
    """Which rows of ``[B, 3, S, S]`` are the black picture."""
    return (pixels.flatten(1).amax(1) < -1.4) & (pixels.flatten(1).std(1) < 0.3)


def texts(results: list[Caption | ModelFailure]) -> list[str]:
    assert all(isinstance(result, Caption) for result in results), results
    return [result.text for result in results]  # type: ignore[union-attr]


def test_equals_transformers_by_hand(llava_folder: Path, captioner: Captioner) -> None:
    images = noise_images(6)
    model = AutoModelForImageTextToText.from_pretrained(llava_folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(llava_folder)
    content = [{"type": "image"}, {"type": "text", "text": RECAP_PROMPT}]
    captions = captioner.caption(images)
    assert {caption.truncated for caption in captions} == {True, False}  # type: ignore[union-attr]
    for image, caption in zip(images, captions, strict=True):
        conversation = [{"role": "user", "content": [{"type": "image", "image": image}, content[1]]}]
        inputs = processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        assert inputs["input_ids"][0].tolist() == tiny_models.prompt_ids(processor)
        new = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)[
            0, inputs["input_ids"].shape[1] :
        ].tolist()
        ended = new[-1] in model.generation_config.eos_token_id
        text = processor.decode(new, skip_special_tokens=True).strip()
        assert caption == Caption(text, len(new) - ended, not ended)


def test_one_by_one_equals_a_batch(captioner: Captioner) -> None:
    images = noise_images(11)  # two chunks of 8
    together = captioner.caption(images)
    assert together == [captioner.caption([image])[0] for image in images]
    assert len(set(texts(together))) > 5
    assert captioner.caption([]) == []


def test_the_model_sees_one_begin_token_and_no_padding(captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, torch.Tensor] = {}
    generate = captioner._model.generate

    def spy(**inputs: Any) -> torch.Tensor:
        seen.update(inputs)
        result: torch.Tensor = generate(**inputs)
        return result

    monkeypatch.setattr(captioner._model, "generate", spy)
    captioner.caption(noise_images(5))
    ids = seen["input_ids"]
    tokenizer = captioner._processor.tokenizer
    assert seen["attention_mask"].all()
    assert (ids == tokenizer.bos_token_id).sum(1).tolist() == [1] * 5
    assert (ids == captioner._processor.image_token_id).sum(1).tolist() == [36] * 5
    assert seen["pixel_values"].shape == (5, 3, 60, 60)
    assert tokenizer.padding_side == "left"


def test_pictures_of_any_shape(captioner: Captioner) -> None:
    shapes = [(1, 1), (3, 90), (90, 3), (1, 700), (700, 1)]
    results = captioner.caption([np.full((*shape, 3), 200, np.uint8) for shape in shapes])
    assert all(isinstance(r, Caption) or r.reason is Reason.EMPTY_RECAPTION for r in results)
    # Three rows are not taken for three colour planes: it is the same picture, four times as large.
    stripe = np.random.default_rng(1).integers(0, 256, (3, 9, 3), dtype=np.uint8)
    small, large = (
        captioner._processor(images=[_pil(i)], text=["<image>"], return_tensors="pt").pixel_values
        for i in (stripe, np.kron(stripe, np.ones((4, 4, 1), np.uint8)))
    )
    assert (small - large).abs().mean() < 0.3


def _pil(array: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(array)


def test_sampling_settings_of_the_checkpoint_are_not_used(
    llava_folder: Path, captioner: Captioner, tmp_path: Path
) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    edit_json(
        folder / "generation_config.json",
        do_sample=True, temperature=5.0, top_k=3, repetition_penalty=1.9, max_new_tokens=2, bad_words_ids=[[100]],
    )  # fmt: skip
    other = Captioner.load(str(folder), device="cpu", max_new_tokens=NEW_TOKENS)
    images = noise_images(4)
    assert other.caption(images) == captioner.caption(images)


def test_either_end_token_ends_a_caption(llava_folder: Path, captioner: Captioner, tmp_path: Path) -> None:
    tokenizer = captioner._processor.tokenizer
    ends = {tokenizer.convert_tokens_to_ids(token) for token in ("<|eot_id|>", "<|end_of_text|>")}
    assert set(captioner._end_ids) == ends
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    for settings in ("generation_config.json", "config.json"):  # as LLaMA-3's base checkpoints have it
        edit_json(folder / settings, eos_token_id=tokenizer.convert_tokens_to_ids("<|end_of_text|>"))
    assert set(Captioner.load(str(folder), device="cpu", max_new_tokens=NEW_TOKENS)._end_ids) == ends


def test_text_without_words_is_a_failure(captioner: Captioner) -> None:
    tokenizer = captioner._processor.tokenizer
    spaces = tokenizer("  \n", add_special_tokens=False)["input_ids"]
    for ids in ([captioner._end_ids[0]], [*spaces, captioner._end_ids[0]], [tokenizer.pad_token_id] * 3):
        failure = captioner._caption_of(ids, [True] * len(ids))
        assert isinstance(failure, ModelFailure) and failure.reason is Reason.EMPTY_RECAPTION


def test_out_of_memory_halves_the_batch(captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    images, sizes = noise_images(7), []
    expected = captioner.caption(images)
    generate = captioner._model.generate

    def small_device(**inputs: Any) -> torch.Tensor:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        result: torch.Tensor = generate(**inputs)
        return result

    monkeypatch.setattr(captioner._model, "generate", small_device)
    assert captioner.caption(images) == expected
    assert sizes == [7, 3, 1, 2, 4, 2, 2]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("shapes do not fit\nat line 3"), Reason.MODEL_ERROR),
        (torch.OutOfMemoryError("CUDA out of memory"), Reason.OUT_OF_MEMORY),
    ],
)
def test_one_poisonous_picture_fails_alone(
    captioner: Captioner, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: Reason
) -> None:
    images = noise_images(6)
    expected = captioner.caption(images)
    generate = captioner._model.generate

    def poisoned(**inputs: Any) -> torch.Tensor:
        if marked_rows(inputs["pixel_values"]).any():
            raise error
        result: torch.Tensor = generate(**inputs)
        return result

    monkeypatch.setattr(captioner._model, "generate", poisoned)
    results = captioner.caption([*images[:2], MARKED, *images[2:]])
    failure = results.pop(2)
    assert results == expected
    assert isinstance(failure, ModelFailure) and failure.reason is reason
    assert failure.detail == f"{type(error).__name__}: {str(error).splitlines()[0]}"


def test_a_non_finite_row_fails_alone(captioner: Captioner) -> None:
    images = noise_images(5)
    expected = captioner.caption(images)

    passed: list[torch.Tensor] = []

    def spoil(module: torch.nn.Module, arguments: Any, keywords: dict[str, Any]) -> Any:
        pixels = keywords.get("pixel_values", arguments[0] if arguments else None)
        pixels = torch.where(marked_rows(pixels)[:, None, None, None], float("nan"), pixels)
        passed.append(pixels)
        return (), {**keywords, "pixel_values": pixels}

    hook = captioner._model.model.vision_tower.register_forward_pre_hook(spoil, with_kwargs=True)
    results = captioner.caption([images[0], MARKED, *images[1:]])
    hook.remove()
    assert torch.cat(passed).isnan().any()
    failure = results.pop(1)
    assert results == expected
    assert isinstance(failure, ModelFailure) and failure.reason is Reason.NON_FINITE


def test_what_follows_the_end_of_a_row_does_not_count(captioner: Captioner) -> None:
    word, end = (
        captioner._processor.tokenizer("circle", add_special_tokens=False)["input_ids"][0],
        captioner._end_ids[0],
    )
    late = captioner._caption_of([word, end, end], [True, True, False])
    assert isinstance(late, Caption) and (late.tokens, late.truncated) == (1, False)
    assert isinstance(captioner._caption_of([word, end, end], [True, False, True]), ModelFailure)
    full = captioner._caption_of([word, word], [True, True])
    assert isinstance(full, Caption) and (full.tokens, full.truncated) == (2, True)


def test_a_lost_device_is_fatal(captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(**inputs: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(captioner._model, "generate", lost)
    with pytest.raises(FatalModelError, match="illegal memory access"):
        captioner.caption(noise_images(2))


def test_a_wrong_array_fails_alone(captioner: Captioner) -> None:
    results = captioner.caption([noise_images(1)[0], np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32)])
    assert [type(result) for result in results] == [Caption, ModelFailure, ModelFailure]


def test_it_can_stand_behind_a_proxy(captioner: Captioner) -> None:
    assert weakref.ref(captioner)() is captioner
    results = captioner.caption([*noise_images(2), np.zeros((5, 5), np.uint8)])
    assert pickle.loads(pickle.dumps(results)) == results
    # Whoever only holds a proxy needs the results' classes, not torch.
    code = "import sys, beam_recap.models.captioner; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, timeout=120).returncode == 0


def test_threads_share_it(captioner: Captioner) -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = noise_images(6)
    expected = captioner.caption(images)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(captioner.caption, [images] * 4)) == [expected] * 4


def test_low_precision_works(llava_folder: Path) -> None:
    other = Captioner.load(str(llava_folder), device="cpu", dtype="bfloat16", max_new_tokens=NEW_TOKENS)
    assert other._model.dtype == torch.bfloat16
    assert len(texts(other.caption(noise_images(3)))) == 3

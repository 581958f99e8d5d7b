from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from support.untrained_models import noise_images

from beam_recap.isolation import FatalModelError, ModelFailure
from beam_recap.models.clip_scorer import CaptionScore, ClipScore, ClipScorer
from beam_recap.models.clip_text import CaptionTokenizer
from beam_recap.records import Reason

WEIGHTS = "open_clip_model.safetensors"
CAPTIONS = ["a red circle", None, "", "a large blue star above a small pink square", "SALE 50% OFF", "click here"]


def scores(results: list[Any]) -> list[float | None]:
    assert all(isinstance(result, ClipScore | CaptionScore) for result in results), results
    return [result.score for result in results]


def test_equals_open_clip_by_hand(clip_folder: Path, scorer: ClipScorer) -> None:
    images = noise_images(len(CAPTIONS))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip_folder}")
    seen: list[torch.Tensor] = []
    hook = scorer._model.visual.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    results = scorer.score(images, CAPTIONS)
    hook.remove()
    expected_pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
    assert torch.equal(torch.cat(seen)[: len(images)], expected_pixels)
    model.eval()
    for image, caption, result in zip(images, CAPTIONS, results, strict=True):
        assert isinstance(result, ClipScore)
        with torch.no_grad():
            expected = model.encode_image(transform(Image.fromarray(image))[None], normalize=True)[0]
            assert result.embedding == pytest.approx(expected.numpy(), abs=1e-6)
            if caption is None:
                assert (result.score, result.caption_cut) == (None, None)
            else:
                text = model.encode_text(tokenizer([caption]), normalize=True)[0]
                assert result.score == pytest.approx(float(expected @ text), abs=1e-6)
                assert result.caption_cut is False


def test_embeddings_are_float32_of_unit_length(scorer: ClipScorer) -> None:
    for result in scorer.score(noise_images(3), [None, "a", "b"]):
        assert isinstance(result, ClipScore)
        assert result.embedding.dtype == np.float32 and result.embedding.shape == (64,)
        assert np.linalg.norm(result.embedding) == pytest.approx(1, abs=1e-6)


def test_results_do_not_depend_on_batch_mates(scorer: ClipScorer) -> None:
    images, captions = noise_images(9), ["a red circle"] * 9
    alone = [scorer.score([image], [caption])[0] for image, caption in zip(images, captions, strict=True)]
    assert scores(scorer.score(images, captions)) == pytest.approx(scores(alone), abs=1e-6)


def test_captions_are_scored_against_stored_embeddings(scorer: ClipScorer) -> None:
    images, captions = noise_images(6), [caption or "none" for caption in CAPTIONS]
    first = scorer.score(images, captions)
    again = scorer.score_captions([result.embedding for result in first], captions)  # type: ignore[union-attr]
    assert scores(again) == pytest.approx(scores(first), abs=1e-6)
    assert len(set(scores(again))) == 6
    assert scorer.score_captions([], []) == [] and scorer.score([], []) == []


def test_as_many_captions_as_images(scorer: ClipScorer) -> None:
    with pytest.raises(ValueError):
        scorer.score(noise_images(2), ["a"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_close(clip_folder: Path, scorer: ClipScorer, dtype: str) -> None:
    images, captions = noise_images(4), ["a red circle", "b", "c", "d"]
    low = ClipScorer.load(str(clip_folder), None, device="cpu", dtype=dtype)
    results = low.score(images, captions)
    assert scores(results) == pytest.approx(scores(scorer.score(images, captions)), abs=0.02)
    for result in results:
        assert isinstance(result, ClipScore) and result.embedding.dtype == np.float32
        assert np.linalg.norm(result.embedding) == pytest.approx(1, abs=1e-6)


def test_a_wrong_image_fails_alone(scorer: ClipScorer) -> None:
    images = noise_images(4)
    images[2] = images[2][:, :, 0]
    results = scorer.score(images, ["a"] * 4)
    assert [isinstance(result, ClipScore) for result in results] == [True, True, False, True]
    assert isinstance(results[2], ModelFailure) and results[2].reason is Reason.MODEL_ERROR


def test_non_finite_rows_fail_alone(scorer: ClipScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise_images(4)
    encode = scorer._model.encode_image

    def one_nan(pixels: torch.Tensor) -> torch.Tensor:
        features = encode(pixels).clone()
        features[1] = float("nan")
        return features

    monkeypatch.setattr(scorer._model, "encode_image", one_nan)
    results = scorer.score(images, [None, None, "a", "b"])
    assert [isinstance(result, ClipScore) for result in results] == [True, False, True, True]
    assert isinstance(results[1], ModelFailure) and results[1].reason is Reason.NON_FINITE
    bad = np.full(64, np.nan, np.float32)
    assert [type(r) for r in scorer.score_captions([bad, -bad * 0 + 1], ["a", "b"])] == [ModelFailure, ModelFailure]


def test_out_of_memory_halves_and_a_lost_device_is_fatal(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ClipScorer.load(str(clip_folder), None, device="cpu", batch_size=4)  # it remembers what did not fit
    images, sizes = noise_images(4), []
    encode = scorer._model.encode_image

    def small_device(pixels: torch.Tensor) -> torch.Tensor:
        sizes.append(len(pixels))
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(pixels)

    expected = scores(scorer.score(images, ["a"] * 4))
    monkeypatch.setattr(scorer._model, "encode_image", small_device)
    assert scores(scorer.score(images, ["a"] * 4)) == pytest.approx(expected, abs=1e-6)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]

    def lost(pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(scorer._model, "encode_image", lost)
    with pytest.raises(FatalModelError):
        scorer.score(images, ["a"] * 4)


def longest_fit(tokenizer: CaptionTokenizer, word: str) -> int:
    """How many times ``word`` fits."""
    lost = tokenizer([" ".join([word] * n) for n in range(1, 120)])[1]
    assert lost == sorted(lost)
    assert lost[0] == 0 and 0 < lost[-1] < 1
    return next(index for index, share in enumerate(lost) if share)


def test_cut_captions_with_a_hugging_face_tokenizer(clip_folder: Path, scorer: ClipScorer) -> None:
    tokenizer = CaptionTokenizer(open_clip.get_tokenizer(f"local-dir:{clip_folder}"))
    fits = longest_fit(tokenizer, "circle")
    plain = tokenizer._tokenizer.tokenizer
    assert len(plain(" ".join(["circle"] * fits))["input_ids"]) <= 48
    assert len(plain(" ".join(["circle"] * (fits + 1)))["input_ids"]) > 48
    results = scorer.score(noise_images(2), [" ".join(["circle"] * n) for n in (fits, fits + 1)])
    assert [result.caption_cut for result in results] == [False, True]  # type: ignore[union-attr]
    assert scorer.score_captions([results[0].embedding], ["circle " * 99])[0].cut is True  # type: ignore[union-attr]


def test_cut_captions_with_open_clips_own_tokenizer() -> None:
    theirs = open_clip.get_tokenizer("ViT-B-32")
    tokenizer = CaptionTokenizer(theirs)
    assert longest_fit(tokenizer, "circle") == 75  # 77 less start and end
    tokens, _ = tokenizer(["circle " * 200, "a"])
    assert torch.equal(tokens, open_clip.get_tokenizer("ViT-B-32")(["circle " * 200, "a"]))
    assert tokens[0, -1] == theirs.eot_token_id


def test_endless_captions_take_no_endless_time_or_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.models.clip_text._MAX_REMEMBERED_WORDS", 50)
    theirs = open_clip.get_tokenizer("ViT-B-32")
    tokenizer = CaptionTokenizer(theirs)
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 1_000_000)
    endless, short, behind = tokenizer(["".join(letters), "a" + " " * 100_000, " " * 100_000 + "a"])[1]
    assert 0.999 < endless < 1
    assert (short, behind) == (0, 1)
    for start in range(0, 2000, 200):
        tokenizer(["".join(letters[i : i + 9]) for i in range(start, start + 200)])
        assert len(theirs.cache) <= 50 + 200 + 2
    before = tokenizer(["a red circle", "<end_of_text>"])[0]
    assert torch.equal(before, open_clip.get_tokenizer("ViT-B-32")(["a red circle", "<end_of_text>"]))


def test_scores_do_not_depend_on_how_rows_are_grouped(scorer: ClipScorer) -> None:
    """Not even in their last digit: files must be equal however the work was split."""
    images = noise_images(23, seed=5)
    captions = [f"a picture of number {i}" if i % 4 else None for i in range(23)]
    together = scorer.score(images, captions)
    for size in (1, 5, 16):
        parts = [
            score
            for start in range(0, 23, size)
            for score in scorer.score(images[start : start + size], captions[start : start + size])
        ]
        for one, other in zip(together, parts, strict=True):
            assert isinstance(one, ClipScore) and isinstance(other, ClipScore)
            assert one.score == other.score
            assert np.array_equal(one.embedding, other.embedding)


def test_filling_up_gives_way_when_memory_runs_out(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ClipScorer.load(str(clip_folder), None, device="cpu", batch_size=32)
    images = noise_images(7)
    expected = scorer.score(images, [None] * 7)
    encode, sizes = scorer._model.encode_image, []

    def small(pixels: torch.Tensor) -> torch.Tensor:
        sizes.append(len(pixels))
        if len(pixels) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return encode(pixels)

    monkeypatch.setattr(scorer._model, "encode_image", small)
    results = scorer.score(images, [None] * 7)
    assert sizes == [32, 16, 8, 7, 3, 4]  # first without the filling, then in halves
    for one, other in zip(expected, results, strict=True):
        assert isinstance(one, ClipScore) and isinstance(other, ClipScore)
        assert np.allclose(one.embedding, other.embedding, atol=1e-6)

"""One bad picture, one exception in a model, one out-of-memory: that row is out, its neighbours are not touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.recap_runs import assert_accounts, kept, rejected, run_here
from support.shards import jpeg, write_tar

from beam_recap.models.captioner import Captioner
from beam_recap.models.clip_scorer import ClipScorer
from beam_recap.ocr.text_spotter import TextSpotter

ROWS = 24
MARKED = 11  # this row's picture is blue, all others are red


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "in.tar"
    colors = ["blue" if i == MARKED else "red" for i in range(ROWS)]
    write_tar(
        path,
        [
            {"__key__": f"{i:05d}", "jpg": jpeg(100, 80, color), "txt": b"a red picture"}
            for i, color in enumerate(colors)
        ],
    )
    return path


def _is_marked(image: np.ndarray) -> bool:
    return bool(image[..., 2].mean() > 200 and image[..., 0].mean() < 50)


def _run(shard, tmp_path, *flags):
    output = tmp_path / "out"
    assert run_here(f"--input={shard}", f"--output={output}", "--caption_batch_size=8", *flags) == 0
    assert_accounts(output, ROWS)
    return output


def _assert_only_the_marked_row_is_out(output, stage, reason, detail):
    (row,) = rejected(output)
    assert (row["key"], row["stage"], row["reason"]) == (f"{MARKED:05d}", stage, reason)
    assert detail in row["detail"]
    assert kept(output)["key"].to_pylist() == [f"{i:05d}" for i in range(ROWS) if i != MARKED]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("a poisonous picture"), "model_error"), (torch.OutOfMemoryError("out of memory"), "out_of_memory")],
)
def test_captioner(shard, tmp_path, monkeypatch, error, reason):
    generate = Captioner._generate

    def broken(self, images, *arguments, **options):
        if any(_is_marked(image) for image in images):
            raise error
        return generate(self, images, *arguments, **options)

    monkeypatch.setattr(Captioner, "_generate", broken)
    output = _run(shard, tmp_path, "--caption_engine=generate")
    _assert_only_the_marked_row_is_out(output, "caption", reason, type(error).__name__)
    assert kept(output)["re_caption"].null_count == 0


def test_captioner_out_of_memory_above_two_pictures(shard, tmp_path, monkeypatch):
    generate = Captioner._generate
    sizes = []

    def small(self, images, *arguments, **options):
        if len(images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(len(images))
        return generate(self, images, *arguments, **options)

    monkeypatch.setattr(Captioner, "_generate", small)
    output = _run(shard, tmp_path, "--caption_engine=generate")
    assert rejected(output) == []
    assert kept(output).num_rows == ROWS
    assert max(sizes) == 2


def test_clip(shard, tmp_path, monkeypatch):
    original = ClipScorer.score

    def broken(self, images, captions):
        from beam_recap.isolation import run_isolated

        def one(pairs):
            if any(_is_marked(image) for image, _ in pairs):
                raise RuntimeError("clip broke")
            return original(self, [image for image, _ in pairs], [caption for _, caption in pairs])

        return run_isolated(list(zip(images, captions, strict=True)), one)

    monkeypatch.setattr(ClipScorer, "score", broken)
    output = _run(shard, tmp_path, "--captioner=none")
    _assert_only_the_marked_row_is_out(output, "clip", "model_error", "clip broke")


def test_ocr(shard, tmp_path, monkeypatch):
    original = TextSpotter.spot

    def broken(self, image):
        if _is_marked(image):
            raise MemoryError("a hostile picture")
        return original(self, image)

    monkeypatch.setattr(TextSpotter, "spot", broken)
    output = _run(shard, tmp_path, "--captioner=none", "--ocr=rapidocr")
    _assert_only_the_marked_row_is_out(output, "ocr", "out_of_memory", "a hostile picture")


def test_corrupt_pictures_among_good_ones(tmp_path):
    good = jpeg(100, 80, "red")
    samples = [
        {"__key__": f"{i:05d}", "jpg": good if i != MARKED else b"<html>no picture</html>", "txt": b"a"}
        for i in range(ROWS)
    ]
    path = tmp_path / "in.tar"
    write_tar(path, samples)
    output = _run(path, tmp_path, "--captioner=none", "--clip_model=none")
    _assert_only_the_marked_row_is_out(output, "fetch", "not_an_image", "")

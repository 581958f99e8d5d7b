from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from apache_beam.ml.inference.base import RunInference
from support.collected import run_and_collect
from support.untrained_models import noise_images, save_untrained_llava

from beam_recap.isolation import ModelFailure
from beam_recap.models.captioner import Caption, Captioner
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from transforms.llava_model_handler import LlavaModelHandler

LIMIT = 16
MARK = np.uint8([1, 2, 3])


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    save_untrained_llava(folder)
    return folder


def samples(images: Sequence[np.ndarray]) -> list[Sample]:
    return [Sample(unit="u", index=i, uid=f"uid{i}", key=f"{i:09d}", image=image) for i, image in enumerate(images)]


def run(folder: Path, rows: Sequence[Sample], batch_size: int = 4, engine: str = "auto") -> list[Outcome]:
    """The outcomes of a pipeline, by index."""
    handler = LlavaModelHandler(str(folder), device="cpu", max_new_tokens=LIMIT, engine=engine, batch_size=batch_size)
    outcomes = run_and_collect(list(rows), RunInference(handler))
    assert {type(outcome) for outcome in outcomes} <= {Sample, Rejection}
    return sorted(outcomes, key=index_of)


def index_of(outcome: Outcome) -> int:
    return outcome.index if isinstance(outcome, Sample) else outcome.sample.index


def test_every_row_has_its_caption(llava_folder: Path) -> None:
    rows = samples(noise_images(10))
    outcomes = run(llava_folder, rows)
    captions = Captioner.load(str(llava_folder), device="cpu", max_new_tokens=LIMIT).caption(
        [row.image for row in rows]
    )  # type: ignore[misc]
    assert len(outcomes) == 10
    for row, outcome, caption in zip(rows, outcomes, captions, strict=True):
        assert isinstance(outcome, Sample) and isinstance(caption, Caption)
        assert (outcome.uid, outcome.key) == (row.uid, row.key)
        assert (outcome.recaption, outcome.recaption_tokens, outcome.recaption_truncated) == (
            caption.text, caption.tokens, caption.truncated,
        )  # fmt: skip
        assert np.array_equal(outcome.image, row.image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("poison"), Reason.MODEL_ERROR), (torch.OutOfMemoryError("too long"), Reason.OUT_OF_MEMORY)],
)
def test_one_bad_row_costs_nobody_else(
    llava_folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: Reason
) -> None:
    generate, sizes = Captioner._generate, []

    def faulty(self: Captioner, images: Sequence[np.ndarray], max_new_tokens: int | None = None) -> Any:
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if any((image[0, 0] == MARK).all() for image in images):
            raise error
        return generate(self, images, max_new_tokens)

    images = noise_images(11)
    images[5][0, 0] = MARK
    rows = samples(images)
    expected = run(llava_folder, rows)
    monkeypatch.setattr(Captioner, "_generate", faulty)
    outcomes = run(llava_folder, rows, engine="generate")
    assert max(sizes) == 4
    assert [index_of(outcome) for outcome in outcomes] == list(range(11))
    rejection = outcomes[5]
    assert isinstance(rejection, Rejection)
    assert (rejection.stage, rejection.reason) == (Stage.CAPTION, reason)
    assert rejection.sample.image is None and rejection.sample.recaption is None
    kept = [o.recaption for o in outcomes if isinstance(o, Sample)]
    assert len(kept) == 10 and kept == [o.recaption for o in expected[:5] + expected[6:]]  # type: ignore[union-attr]


class _Proxy:
    """What Beam gives in place of a model in another process: its methods, everything pickled."""

    def __init__(self, results: list[Caption | ModelFailure]):
        self._results = results

    def caption(self, images: Sequence[np.ndarray]) -> list[Caption | ModelFailure]:
        pickle.loads(pickle.dumps(images))
        results: list[Caption | ModelFailure] = pickle.loads(pickle.dumps(self._results))
        return results

    def take_splits(self) -> int:
        return 2


def test_only_what_any_captioner_has_is_called_on_the_model() -> None:
    rows = samples(noise_images(2))
    model: Any = _Proxy([Caption("a cat", 3, False), ModelFailure(Reason.NON_FINITE, "why")])
    first, second = LlavaModelHandler("folder").run_inference(rows, model)
    assert isinstance(first, Sample)
    assert (first.recaption, first.recaption_tokens, first.recaption_truncated) == ("a cat", 3, False)
    assert second == rows[1].reject(Stage.CAPTION, Reason.NON_FINITE, "why")
    with pytest.raises(ValueError):  # a row without an outcome would be lost in silence
        LlavaModelHandler("folder").run_inference(rows + samples(noise_images(1)), model)


def test_what_beam_asks() -> None:
    handler = LlavaModelHandler("folder", batch_size=5)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 20, "max_batch_size": 20}
    assert LlavaModelHandler("folder", batch_size=300).batch_elements_kwargs()["max_batch_size"] == 512
    assert LlavaModelHandler("folder", batch_size=600).batch_elements_kwargs()["max_batch_size"] == 512
    assert handler.get_metrics_namespace() == "CaptionImage"
    assert handler.share_model_across_processes() is False
    assert LlavaModelHandler("folder", large_model=True).share_model_across_processes() is True
    rows = samples([np.zeros((4, 5, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
    assert handler.get_num_bytes(rows) == 63
    assert isinstance(pickle.loads(pickle.dumps(handler)), LlavaModelHandler)


def test_a_broken_checkpoint_stops_the_pipeline(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="neither a folder nor"):
        run(tmp_path / "absent", samples(noise_images(1)))

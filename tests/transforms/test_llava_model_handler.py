from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import torch
from apache_beam.ml.inference.base import RunInference
from support import captioning_processes
from support.collected import run_and_collect
from support.noted import run_noted
from support.untrained_models import noise_images, save_untrained_llava

from beam_recap.isolation import ModelFailure
from beam_recap.models.captioner import Caption, Captioner
from beam_recap.models.endpoint_settings import EndpointSettings
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage
from transforms.caption_image import CaptionImage, CaptionModel
from transforms.llava_model_handler import LlavaModelHandler

LIMIT = 16
MARK = np.uint8([1, 2, 3])
SERVER = EndpointSettings("http://localhost:1/v1", "model")


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

    def faulty(self: Captioner, images: Sequence[np.ndarray], *arguments: Any, **options: Any) -> Any:
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if any((image[0, 0] == MARK).all() for image in images):
            raise error
        return generate(self, images, *arguments, **options)

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
    assert rejection.sample.image is not None and rejection.sample.recaption is None
    kept = [o.recaption for o in outcomes if isinstance(o, Sample)]
    assert len(kept) == 10 and kept == [o.recaption for o in expected[:5] + expected[6:]]  # type: ignore[union-attr]


class _Proxy:
    """What Beam gives in place of a model in another process: its methods, everything pickled."""

    def __init__(self, results: list[Caption | ModelFailure]):
        self._results = results

    def caption(
        self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None
    ) -> list[Caption | ModelFailure]:
        pickle.loads(pickle.dumps((images, hints)))
        self.hints = hints
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
    assert isinstance(second, Rejection) and second.sample.uid == rows[1].uid
    assert (second.stage, second.reason, second.detail) == (Stage.CAPTION, Reason.NON_FINITE, "why")
    assert first.seconds == second.sample.seconds is not None
    with pytest.raises(ValueError):  # a row without an outcome would be lost in silence
        LlavaModelHandler("folder").run_inference(rows + samples(noise_images(1)), model)


def test_original_captions_are_handed_over_where_they_are_asked_for() -> None:
    captions = ["a red fox <image>", None]
    rows = [replace(row, caption=text) for row, text in zip(samples(noise_images(2)), captions, strict=True)]
    model: Any = _Proxy([Caption("a cat", 3, False, hinted=True), Caption("a dog", 3, False, hinted=False)])
    shown = LlavaModelHandler("folder", hint="Its alt text: {caption}").run_inference(rows, model)
    assert model.hints == captions
    assert [row.recaption_hinted for row in shown] == [True, False]  # type: ignore[union-attr]
    model._results = [Caption("a cat", 3, False)] * 2
    not_shown = LlavaModelHandler("folder").run_inference(rows, model)
    assert model.hints is None
    assert [row.recaption_hinted for row in not_shown] == [None, None]  # type: ignore[union-attr]


def test_what_beam_asks() -> None:
    handler = LlavaModelHandler("folder", batch_size=5)
    assert handler.batch_elements_kwargs() == {"min_batch_size": 20, "max_batch_size": 20}
    assert LlavaModelHandler("folder", batch_size=300).batch_elements_kwargs()["max_batch_size"] == 512
    assert LlavaModelHandler("folder", batch_size=600).batch_elements_kwargs()["max_batch_size"] == 512
    assert handler.get_metrics_namespace() == "CaptionImage"
    rows = samples([np.zeros((4, 5, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
    assert handler.get_num_bytes(rows) == 63
    assert isinstance(pickle.loads(pickle.dumps(handler)), LlavaModelHandler)


@pytest.mark.parametrize(
    ("settings", "gpus", "is_shared", "copies"),
    [
        ({}, 0, False, 1),
        ({}, 1, True, 1),
        ({}, 4, True, 4),
        ({"device": "cpu"}, 4, False, 1),
        ({"device": "cuda:1"}, 4, True, 1),
        ({"large_model": True}, 0, True, 1),
        ({"large_model": False}, 1, False, 1),
        ({"model_copies": 2}, 0, True, 2),
        ({"model_copies": 2}, 1, True, 2),
        ({"endpoint": SERVER}, 1, False, 1),
    ],
)
def test_processes_share_what_no_second_copy_would_fit(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], gpus: int, is_shared: bool, copies: int
) -> None:
    """Decided on the worker: where the handler is made there need be no GPU."""
    handler = pickle.loads(pickle.dumps(LlavaModelHandler("folder", **settings)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert handler.share_model_across_processes() is is_shared
    assert handler.model_copies() == copies


@pytest.mark.slow
def test_worker_processes_share_one_copy(llava_folder: Path, tmp_path: Path) -> None:
    """Two real worker processes: one load on the whole machine, and the captions of one process alone."""
    notes = run_noted("captioning_processes", tmp_path, str(llava_folder))
    assert len([note for note in notes if "loaded_by" in note]) == 1
    captions = {note["index"]: note["recaption"] for note in notes if "index" in note}
    assert len({note["asked_by"] for note in notes if "index" in note}) == 2
    rows = captioning_processes.make_rows()
    alone = Captioner.load(str(llava_folder), device="cpu", max_new_tokens=8).caption([row.image for row in rows])  # type: ignore[misc]
    assert captions == {index: caption.text for index, caption in enumerate(alone)}  # type: ignore[union-attr]


def test_copies_take_turns(llava_folder: Path, tmp_path: Path) -> None:
    noted = tmp_path / "noted.jsonl"
    rows = samples(noise_images(32))
    settings: dict[str, Any] = {"device": "cpu", "max_new_tokens": LIMIT, "batch_size": 2, "model_copies": 2}
    handler = captioning_processes.NotedHandler(noted, str(llava_folder), **settings)
    outcomes = sorted(run_and_collect(rows, RunInference(handler, model_identifier=str(tmp_path))), key=index_of)
    assert noted.read_text().count("loaded_by") == 2
    assert [o.recaption for o in outcomes] == [o.recaption for o in run(llava_folder, rows)]  # type: ignore[union-attr]


def test_another_path_from_a_side_input(llava_folder: Path) -> None:
    handler = LlavaModelHandler("a/b", revision="0" * 40, device="cpu", max_new_tokens=4)
    handler.update_model_path(None)
    with pytest.raises(ValueError, match="a/b"):
        handler.load_model()
    handler.update_model_path(str(llava_folder))
    assert handler.load_model().model_id == "tiny-llava"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the captioner is a server, http://localhost:1/v1"):
        LlavaModelHandler(None, endpoint=SERVER).update_model_path(str(llava_folder))


def test_a_gpu_is_asked_for_by_all_steps_or_none() -> None:
    """Batches are made where they are captioned: a list of pictures must not travel between two pools."""
    accelerator = "type:nvidia-l4;count:1;install-nvidia-driver"
    pipeline = beam.Pipeline()
    stage = CaptionImage(CaptionModel("folder")).with_resource_hints(accelerator=accelerator)
    pipeline | beam.Create(samples(noise_images(1))) | "CaptionImage" >> stage
    proto = pipeline.to_runner_api()
    hints = {
        transform.unique_name: proto.components.environments[transform.environment_id].resource_hints
        for transform in proto.components.transforms.values()
        if transform.environment_id
    }
    ours = {name: hint for name, hint in hints.items() if name.split("/")[0] == "CaptionImage"}
    assert {"BatchElements", "BeamML_RunInference"} <= {part for name in ours for part in name.split("/")}
    assert {tuple(hint.values()) for hint in ours.values()} == {(accelerator.encode(),)}
    assert {name: dict(hint) for name, hint in hints.items() if name not in ours and hint} == {}


def test_runs_on_one_machine_never_share_a_model() -> None:
    """Processes find a shared model by its name."""
    names = set()
    for _ in range(2):
        pipeline = beam.Pipeline()
        pipeline | beam.Create(samples(noise_images(1))) | CaptionImage(CaptionModel("folder"))
        names |= {
            transform.annotations["model_identifier"]
            for transform in pipeline.to_runner_api().components.transforms.values()
            if "model_identifier" in transform.annotations
        }
    assert len(names) == 2


def test_a_broken_checkpoint_stops_the_pipeline(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="neither a folder nor"):
        run(tmp_path / "absent", samples(noise_images(1)))

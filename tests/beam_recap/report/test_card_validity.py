"""The card, read by the ecosystem's own code: it is valid, and says of the files what is true."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import DatasetInfo, Features, load_dataset
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs, known_task_ids
from huggingface_hub import DatasetCard
from support.report_runs import config_of, finish, sample, small_run
from support.small_outputs import KEPT, written_output

from beam_recap.records import Outcome, Reason, Rejection, Stage
from beam_recap.report.run_report import write_reports

# What is hard on sizes: nulls, texts of every width, empty ones, and values that are never or always there.
_HARD = (
    {"caption": None, "url": None, "license": "", "nsfw": "é" * 40},
    {"caption": "", "recaption": "漢字\U0001f600 " * 30, "clip_score": None, "source_width": 2**40},
    {"caption": "\t\n\x00", "license": None, "aesthetic_score": None, "recaption": None},
)


def _hard_run(kept: int) -> list[Outcome]:
    rows = []
    for row in small_run():
        place = row.sample if isinstance(row, Rejection) else row
        rows.append(dataclasses.replace(place, **_HARD[place.index % len(_HARD)]))
    return [row if n < kept else row.reject(Stage.CLIP, Reason.LOW_CLIP_SCORE) for n, row in enumerate(rows)]


def _info(output: Path) -> DatasetInfo:
    return DatasetInfosDict.from_dataset_card_data(DatasetCard.load(output / "README.md").data)["default"]


def _recorded(output: Path, cache: Path) -> DatasetInfo:
    """What `datasets` finds when it reads the files."""
    return load_dataset(str(output), split="train", cache_dir=str(cache), verification_mode="all_checks").info


@pytest.mark.parametrize("preset", ["recap", "text-debiased", "recap-debiased"])
def test_dataset_info_is_what_datasets_finds(tmp_path: Path, preset: str) -> None:
    output = written_output(tmp_path / "out", preset=preset, extra_columns="true")
    told, found = _info(output), _recorded(output, tmp_path / "cache")
    paths = sorted((output / "data").iterdir())
    assert told.features == found.features == Features.from_arrow_schema(pq.read_schema(paths[0]))
    assert list(told.splits) == ["train"]
    assert told.splits["train"].num_examples == found.splits["train"].num_examples == KEPT
    assert told.splits["train"].num_bytes == found.splits["train"].num_bytes
    assert told.dataset_size == found.dataset_size
    assert told.download_size == found.download_size == sum(path.stat().st_size for path in paths)


# The last shard is empty, then all but the first row's; no shard is.
@pytest.mark.parametrize("kept", [30, 1, 50])
def test_sizes_of_hard_values(tmp_path: Path, kept: int) -> None:
    write_reports(*finish(config_of(tmp_path / "out", rows_per_file="10", extra_columns="true"), _hard_run(kept)))
    told, found = _info(tmp_path / "out"), _recorded(tmp_path / "out", tmp_path / "cache")
    assert (told.splits["train"].num_examples, told.splits["train"].num_bytes, told.dataset_size) == (
        found.splits["train"].num_examples,
        found.splits["train"].num_bytes,
        found.dataset_size,
    )
    assert told.splits["train"].num_examples == kept


def test_a_run_that_kept_nothing_says_so(tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_reports(*finish(config_of(output, rows_per_file="10"), _hard_run(0)))
    info = _info(output)
    assert (info.splits["train"].num_examples, info.splits["train"].num_bytes, info.dataset_size) == (0, 0, 0)
    assert "No row was kept" in (output / "README.md").read_text()
    with pytest.raises(ValueError, match="corresponds to no data"):  # which the card's sentence tells
        load_dataset(str(output), cache_dir=str(tmp_path / "cache"))


def test_metadata_are_the_hubs_words(tmp_path: Path) -> None:
    metadata: dict[str, Any] = DatasetCard.load(written_output(tmp_path / "out") / "README.md").data.to_dict()
    assert set(metadata["task_categories"]) <= set(known_task_ids)
    assert set(metadata["size_categories"]) <= set(_resource("size_categories"))
    assert set(metadata["annotations_creators"]) <= set(_resource("creators")["annotations"])
    assert set(metadata["language_creators"]) <= set(_resource("creators")["language"])
    assert metadata["license"] == "other"
    assert metadata["tags"] == ["beam-recap", "image-text"]
    assert "language" not in metadata
    configs = MetadataConfigs.from_dataset_card_data(DatasetCard.load(tmp_path / "out/README.md").data)
    assert configs.get_default_config_name() == "default"
    assert configs["default"]["data_files"] == [{"split": "train", "path": "data/train-*"}]


def _resource(name: str) -> Any:
    import datasets.utils.resources

    return json.loads((Path(datasets.utils.resources.__file__).parent / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("prefilter", "language"),
    [("language==en,similarity>0.3", ["en"]), ("language!=en", None), ("language==no", ["no"]), ("none", None)],
)
def test_the_language_where_it_is_known(tmp_path: Path, prefilter: str, language: list[str] | None) -> None:
    output = written_output(tmp_path / "out", prefilter=prefilter)
    assert DatasetCard.load(output / "README.md").data.language == language


def test_rules_name_every_threshold(tmp_path: Path) -> None:
    flags = {
        "preset": "text-debiased",
        "prefilter": "similarity>0.28",
        "min_clip_score": "0.31",
        "min_aesthetic_score": "4.75",
        "max_ocr_boxes": "2",
        "min_image_size": "65",
        "max_aspect_ratio": "2.5",
        "max_image_area": "1000000",
        "near_duplicate_similarity": "0.93",
        "max_same_image": "7",
        "max_same_caption": "8",
        "robots_txt": "obey",
    }
    text = DatasetCard.load(written_output(tmp_path / "out", **flags) / "README.md").text
    rules = text.split("## Rules\n")[1].split("\n## ")[0]
    for words in (
        "`similarity>0.28`",
        "above 0.31",
        "above 4.75",
        "at most 2 boxes of text",
        "at least 65 px",
        "at most 2.5 times its short side",
        "at most 1,000,000 square pixels",
        "cosine of at least 0.93",
        "at most 7 different captions",
        "at most 8 different pictures",
        "robots.txt allowed it",
    ):
        assert words in rules
    assert "**Caption**" not in rules


def test_models_come_with_what_tells_their_weights(tmp_path: Path) -> None:
    flags = {"clip_model": "ViT-B-32", "clip_pretrained": "openai", "aesthetic_weights": "none"}
    output = written_output(tmp_path / "out", **flags, min_aesthetic_score="none", max_ocr_boxes="none")
    text = DatasetCard.load(output / "README.md").text
    rows = {line.split(" | ")[0]: line for line in text.split("## Models\n")[1].splitlines() if line.startswith("| ")}
    assert rows["| CLIP (scores)"].endswith("| openai |")
    assert rows["| Aesthetic head"].endswith("| not used |  |")
    fingerprint = config_of(output, **flags, min_aesthetic_score="none").identity()["captioner (files)"]
    assert rows["| Captioner"] == f"| Captioner | demo | fingerprint {fingerprint} |"
    assert "visible text was measured only" in text


def test_rows_with_nothing_but_their_place(tmp_path: Path) -> None:
    """Columns without any value keep their types."""
    nothing = dict.fromkeys(("url", "caption", "sha256", "width", "height", "clip_score", "recaption"))
    rows = [sample("/in/b.parquet[0:10]", index, **nothing) for index in range(10)]
    write_reports(*finish(config_of(tmp_path / "out", preset="recap"), rows))
    told, found = _info(tmp_path / "out"), _recorded(tmp_path / "out", tmp_path / "cache")
    assert told.features == found.features
    assert told.splits["train"].num_bytes == found.splits["train"].num_bytes

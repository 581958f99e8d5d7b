import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support.report_runs import config_of, finish, provenance_of, small_run

from beam_recap.caption_mix import CaptionMix
from beam_recap.flags import PRESETS
from beam_recap.names import SCHEMAS
from beam_recap.report.card import _size_category
from beam_recap.report.column_notes import COLUMN_NOTES, note_of
from beam_recap.report.run_report import write_reports
from beam_recap.schemas import kept_columns, rejected_columns

# As the `datasets` library names them.
_ARROW_OF = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}


def _card(output: Path, **flags: str) -> tuple[dict, str]:
    facts, stats, tally = finish(config_of(output, **flags), small_run())
    write_reports(facts, stats, tally)
    text = (output / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("extra_columns", ["false", "true"])
def test_front_matter_equals_the_files(tmp_path: Path, preset: str, extra_columns: str) -> None:
    front, _ = _card(tmp_path / "out", preset=preset, extra_columns=extra_columns, rows_per_file="20")
    assert front["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    paths = sorted((tmp_path / "out").glob("data/train-*"))
    tables = [pq.read_table(path) for path in paths]
    info = front["dataset_info"]
    features = [(feature["name"], _ARROW_OF[feature["dtype"]]) for feature in info["features"]]
    assert all(table.schema.equals(pa.schema(features)) for table in tables)
    (split,) = info["splits"]
    assert (split["name"], split["num_examples"]) == ("train", 27)
    assert sum(table.num_rows for table in tables) == 27
    assert info["download_size"] == sum(path.stat().st_size for path in paths)
    assert info["dataset_size"] == split["num_bytes"]
    # A table read back may lack null bitmaps that the one written had.
    assert split["num_bytes"] == pytest.approx(sum(table.nbytes for table in tables), rel=0.02)
    assert front["license"] == "other"
    assert front["size_categories"] == ["n<1K"]


def test_size_categories() -> None:
    sizes = [0, 999, 1000, 27_500, 10**6, 107_166_507, 1_237_983_779, 10**12]
    assert [_size_category(rows) for rows in sizes] == [
        "n<1K",
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "1M<n<10M",
        "100M<n<1B",
        "1B<n<10B",
        "n>1T",
    ]


def test_every_column_is_explained(tmp_path: Path) -> None:
    provenance = provenance_of(config_of(tmp_path))
    mix = CaptionMix(0.8)
    names = {column.name for schema in SCHEMAS for column in kept_columns(schema, True, provenance, mix)}
    names |= {column.name for column in rejected_columns(True)}
    assert names == set(COLUMN_NOTES)
    more = dataclasses.replace(provenance, more_clip_models=("ViT-L-14/openai",))
    names = {column.name for column in kept_columns("recap", False, more)} - names
    assert names and all(note_of(name).endswith(" vit_l_14_openai.") for name in names)


def test_body(tmp_path: Path) -> None:
    _, body = _card(tmp_path / "out")
    assert "| CLIP score (cosine \\> 0.3) | 41 | 9 | 32 | `low_clip_score` 9 |" in body
    assert "| Captioner | demo |" in body
    assert "Please generate a detailed caption of this image." in body
    assert "Of 50 rows read, 27 (54.00 %) were kept" in body
    assert "--preset=recap-debiased" in body
    assert "Demonstration models were used (CLIP, aesthetic head, captioner)" in body
    assert "`re_gpt4v_score` | int64 | Rating from 1 to 5 by the run's judge" in body
    assert "keep the licences and rights of their owners" in body


def test_without_captioner_and_demonstration_models(tmp_path: Path) -> None:
    flags = {"preset": "text-debiased", "clip_model": "ViT-B-32", "clip_pretrained": "openai"}
    _, body = _card(tmp_path / "out", **flags, aesthetic_weights="none", min_aesthetic_score="none")
    assert "Demonstration models" not in body
    assert "| Captioner | not used |" in body
    assert "was asked" not in body


def test_users_strings_stay_in_their_place(tmp_path: Path) -> None:
    prompt = "``` fence\n```\n# heading <script>alert(1)</script> | pipe"
    front, body = _card(tmp_path / "a|b: <i>*c*", caption_prompt=prompt)
    assert front["pretty_name"] == "a|b: <i>*c*"
    assert "# a\\|b: \\<i\\>\\*c\\*\n" in body
    assert f"````text\n{prompt}\n````" in body
    lines = body.splitlines()
    fences = [line for line in lines if line.startswith("````")]
    assert len(fences) == 4  # the prompt's and the command's; the rest use three
    for line in lines:
        if line.startswith("| Captioner") or line.startswith("| CLIP score"):
            assert line.count(" | ") in (2, 4)


@pytest.mark.parametrize("hint", ["none", "Its alt text, which may be wrong, is: {caption}"])
def test_a_hint_is_told(tmp_path: Path, hint: str) -> None:
    _, body = _card(tmp_path / "out", caption_hint=hint)
    assert (f"```text\n{hint}\n```" in body) == (hint != "none")
    assert ("had an original caption" in body) == (hint != "none")


def test_summary_and_card_agree(tmp_path: Path) -> None:
    front, _ = _card(tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    data = [file for file in summary["files"] if file["name"].startswith("data/")]
    assert front["dataset_info"]["download_size"] == sum(file["bytes"] for file in data)
    assert front["dataset_info"]["splits"][0]["num_examples"] == summary["counts"]["kept"]

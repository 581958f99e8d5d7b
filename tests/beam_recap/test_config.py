from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from beam_recap.config import DEMO_OUTPUT, RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.flags import FLAGS, PRESETS
from beam_recap.prompts import RECAP_PROMPT

REAL = {"input": "/in/*.parquet", "output": "/out"}
FILTERS_OFF = {"min_clip_score": None, "min_aesthetic_score": None, "aesthetic_weights": None, "ocr": None}
FILTERS_ON = {"min_clip_score": 0.3, "min_aesthetic_score": 4.5, "aesthetic_weights": "demo", "ocr": "rapidocr"}


def config(**flags: str) -> RecapConfig:
    return RecapConfig.from_flags({**REAL, **flags})


def refusal(**flags: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**flags)
    return str(caught.value)


@pytest.fixture
def clip_folder(tmp_path: Path) -> str:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    return str(tmp_path / "clip")


@pytest.fixture
def head(tmp_path: Path) -> str:
    (tmp_path / "head.pth").write_bytes(b"")
    return str(tmp_path / "head.pth")


@pytest.mark.parametrize(
    ("preset", "values"),
    [
        ("recap", {**FILTERS_OFF, "captioner": "demo"}),
        ("text-debiased", {**FILTERS_ON, "captioner": None}),
        ("recap-debiased", {**FILTERS_ON, "captioner": "demo"}),
    ],
)
def test_presets(preset: str, values: dict[str, Any]) -> None:
    made = config(preset=preset)
    assert {name: getattr(made, name) for name in values} == values


def test_the_demonstration_needs_no_flag() -> None:
    demo = RecapConfig.from_flags()
    assert (demo.input, demo.output, demo.preset) == ((), DEMO_OUTPUT, "recap-debiased")
    assert demo.uses_demo_models == ("clip_model", "aesthetic_weights", "captioner")


def test_real_input_means_the_recap_preset() -> None:
    made = config()
    assert made.preset == "recap"
    assert (made.caption_prompt, made.caption_max_new_tokens) == (RECAP_PROMPT, 128)
    assert RECAP_PROMPT == "Please generate a detailed caption of this image. Please be as descriptive as possible."


@pytest.mark.parametrize("preset", PRESETS)
def test_a_flag_overrides_its_preset(preset: str) -> None:
    made = config(preset=preset, min_clip_score="0.25", ocr="none", captioner="none")
    assert (made.min_clip_score, made.ocr, made.captioner) == (0.25, None, None)


@pytest.mark.parametrize("none", ["none", "None", "NONE"])
@pytest.mark.parametrize(
    "name",
    ["min_clip_score", "min_aesthetic_score", "ocr", "captioner", "max_ocr_boxes", "max_rows", "max_aspect_ratio"],
)
def test_none_switches_off(name: str, none: str) -> None:
    assert getattr(config(preset="recap-debiased", **{name: none}), name) is None


def test_everything_can_be_off() -> None:
    made = config(preset="text-debiased", clip_model="none", min_clip_score="none", aesthetic_weights="none",
                  min_aesthetic_score="none", ocr="none")  # fmt: skip
    assert made.uses_demo_models == ()


def test_every_flag_has_a_field_and_a_default_that_its_own_check_accepts() -> None:
    assert [field.name for field in dataclasses.fields(RecapConfig)] == [flag.name for flag in FLAGS]
    for flag in FLAGS:
        if flag.default not in (None, "(preset)"):
            flag.parse(flag.default)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_rows", "7", 7),
        ("fetch_timeout_s", "2.5", 2.5),
        ("allow_private_hosts", "True", True),
        ("keep_checkpoint", "FALSE", False),
        ("min_clip_score", "-1", -1.0),
        ("min_clip_score", "1", 1.0),
        ("max_ocr_boxes", "0", 0),
        ("output", "gs://bucket/run/", "gs://bucket/run"),
        ("output", "/", "/"),
        ("device", "cuda:3", "cuda:3"),
    ],
)
def test_texts_become_values(name: str, text: str, value: object) -> None:
    assert getattr(config(**{name: text}), name) == value


def test_inputs_are_split_at_commas_and_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = config(input=" a.parquet, sub/../b*.tar ,gs://bucket/c.parquet,")
    assert made.input == (f"{tmp_path}/a.parquet", f"{tmp_path}/b*.tar", "gs://bucket/c.parquet")


REFUSALS = [
    ("input", " , ", "give paths or globs"),
    ("output", "", "give a value"),
    ("preset", "recaps", "give one of recap, text-debiased, recap-debiased"),
    ("max_rows", "0", "from 1 to"),
    ("max_rows", "many", "give one from 1 to"),
    ("max_rows", "1.5", "give one from 1 to"),
    ("unit_rows", "-1", "from 1 to"),
    ("url_column", " ", "leave the flag out"),
    ("extra_columns", "yes", "give one of them"),
    ("fetch_concurrency", "5000", "from 1 to 4096"),
    ("fetch_timeout_s", "0", "give seconds"),
    ("fetch_timeout_s", "soon", "give seconds"),
    ("fetch_retries", "21", "from 0 to 20"),
    ("fetch_max_bytes", "10", "from 1024"),
    ("prefilter", "similarity=0.3", "give >, >=, <, <=, == or !="),
    ("prefilter", "similarity>0.3,", "give conditions such as similarity>0.3"),
    ("prefilter", "language==english", "give an ISO 639-1 code"),
    ("image_size", "63", "from 64"),
    ("max_aspect_ratio", "0.5", "from 1 to 1000"),
    ("min_clip_score", "30", "give 0.3"),
    ("min_clip_score", "nan", "give 0.3"),
    ("min_clip_score", "high", "give 0.3"),
    ("min_aesthetic_score", "0.45", "give 4.5"),
    ("min_aesthetic_score", "inf", "give 4.5"),
    ("max_ocr_boxes", "-1", "from 0 to 64"),
    ("ocr", "tesseract", "give one of rapidocr"),
    ("device", "gpu", "give auto, cpu, cuda or cuda:N"),
    ("device", "cuda:", "give auto, cpu, cuda or cuda:N"),
    ("dtype", "int8", "give one of auto"),
    ("retry", "always", "give one of none, transient, all"),
    ("clip_model", "ViT-B-32", "add --clip_pretrained"),
    ("clip_model", "/no/such/folder", "give a folder in open_clip's layout"),
    ("clip_pretrained", "openai", "leave it out"),
    ("aesthetic_weights", "/no/such/head.pth", "give the path"),
    ("aesthetic_weights", "head.bin", "give the head's weight file"),
    ("captioner", "/no/such/folder", "give a checkpoint folder"),
    ("captioner", "owner/model", "ID@REVISION"),
    ("captioner", "owner/model@", "ID@REVISION"),
    ("captioner", "owner/model@main", "ID@REVISION"),
    ("caption_hint", "Look at its alt text.", "give a sentence with it, or none"),
    ("caption_hint", "{caption} or {caption}", "must hold {caption} exactly once"),
]


@pytest.mark.parametrize(("name", "text", "remedy"), REFUSALS)
def test_a_refusal_is_a_sentence_with_flag_value_and_remedy(name: str, text: str, remedy: str) -> None:
    message = refusal(**{name: text})
    assert message.startswith(f"--{name}={text}: ")
    assert remedy in message
    assert "\n" not in message and "Traceback" not in message


def test_a_missing_output_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--output=: is missing; give the directory"):
        RecapConfig.from_flags({"input": "a.parquet"})


def test_an_unknown_flag_is_refused() -> None:
    assert refusal(min_clip="0.3").startswith("--min_clip=0.3: no such flag")


@pytest.mark.parametrize(
    ("flags", "start"),
    [
        ({"clip_model": "none", "clip_pretrained": "openai"}, "--clip_pretrained=openai: needs a CLIP model"),
        ({"preset": "text-debiased", "clip_model": "ViT-L-14"}, "--clip_model=ViT-L-14: names no weights; add"),
        ({"clip_model": "none", "min_clip_score": "0.3"}, "--min_clip_score=0.3: needs a CLIP model"),
        ({"clip_model": "none", "aesthetic_weights": "demo"}, "--aesthetic_weights=demo: needs a CLIP model"),
        ({"preset": "text-debiased", "clip_model": "none"}, "--min_clip_score=0.3: needs a CLIP model"),
        ({"min_aesthetic_score": "4.5"}, "--min_aesthetic_score=4.5: needs a head"),
        (
            {"preset": "text-debiased", "clip_model": "ViT-L-14", "clip_pretrained": "openai"},
            "--aesthetic_weights=demo: fits only the demonstration's CLIP",
        ),
    ],
)
def test_flags_at_odds_with_one_another_are_refused(flags: dict[str, str], start: str) -> None:
    message = refusal(**flags)
    assert message.startswith(start)
    assert re.search(r"; (give|add) ", message)


def test_real_models_are_accepted(clip_folder: str, head: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    made = config(preset="recap-debiased", clip_model=clip_folder, aesthetic_weights=head, captioner=str(tmp_path))
    assert made.uses_demo_models == ()
    named = config(clip_model="ViT-L-14", clip_pretrained="openai", captioner="owner/model@" + 40 * "a")
    assert (named.clip_model, named.clip_pretrained) == ("ViT-L-14", "openai")


def test_a_folder_without_its_config_is_no_model(tmp_path: Path) -> None:
    assert "give a folder in open_clip's layout" in refusal(clip_model=str(tmp_path))
    assert "give a checkpoint folder in Hugging Face form" in refusal(captioner=str(tmp_path))


# Flags that change how a run goes, not how a row ends.
NOT_IDENTITY = {
    "output",
    "caption_mix",
    "caption_mix_seed",
    "slice",
    "gpu_accelerator",
    "fetch_concurrency",
    "fetch_timeout_s",
    "fetch_retries",
    "fetch_connect_timeout_s",
    "fetch_ahead_rows",
    "fetch_ahead_bytes",
    "connections_per_host",
    "host_requests_per_s",
    "contact",
    "clip_batch_size",
    "caption_endpoint_key",
    "caption_endpoint_requests",
    "judge_endpoint_key",
    "caption_engine",
    "caption_batch_size",
    "captioner_copies",
    "schema",
    "clusters",
    "drop_duplicate_rows",
    "drop_duplicate_images",
    "near_duplicate_similarity",
    "max_same_image",
    "max_same_caption",
    "device",
    "retry",
    "keep_checkpoint",
    "verbose",
}
OTHER_VALUES = {
    "input": "/in/other.parquet",
    "output": "/elsewhere",
    "output_format": "webdataset,parquet",
    "caption_mix": "0.8",
    "caption_mix_seed": "1",
    "preset": "text-debiased",
    "max_rows": "5",
    "url_column": "link",
    "caption_column": "alt",
    "verify_hash": "md5",
    "prefilter": "similarity>0.3,basic",
    "slice": "2/3",
    "unit_rows": "10",
    "rows_per_file": "10",
    "extra_columns": "true",
    "fetch_concurrency": "2",
    "fetch_timeout_s": "3",
    "fetch_retries": "0",
    "fetch_max_bytes": "4096",
    "fetch_connect_timeout_s": "1",
    "fetch_max_redirects": "0",
    "fetch_ahead_rows": "5",
    "fetch_ahead_bytes": "2000000",
    "connections_per_host": "1",
    "host_requests_per_s": "5",
    "user_agent_token": "other",
    "contact": "mailto:me@example.org",
    "disallowed_header_directives": "noai,noml",
    "robots_txt": "obey",
    "fetch_ports": "none",
    "allow_private_hosts": "true",
    "allow_local_files": "true",
    "verify_tls": "false",
    "image_size": "512",
    "resize_mode": "border",
    "resize_only_if_bigger": "false",
    "image_formats": "png,gif",
    "max_image_area": "1e6",
    "max_pixels": "4096",
    "min_image_size": "8",
    "max_aspect_ratio": "3",
    "clip_model": "none",
    "min_clip_score": "0.1",
    "clip_batch_size": "1",
    "more_clip_models": "demo",
    "aesthetic_weights": "demo",
    "aesthetic_scale": "v1",
    "aesthetic_clip_model": "demo",
    "filter_order": "ocr,clip,aesthetic",
    "schema": "datacomp",
    "clusters": "/models/clusters",
    "drop_duplicate_rows": "true",
    "drop_duplicate_images": "true",
    "near_duplicate_similarity": "0.9",
    "max_same_image": "5",
    "max_same_caption": "5",
    "save_embeddings": "true",
    "ocr": "rapidocr",
    "max_ocr_boxes": "2",
    "captioner": "none",
    "caption_prompt": "What is this?",
    "caption_hint": "Its alt text: {caption}",
    "caption_max_new_tokens": "5",
    "caption_endpoint_requests": "2",
    "judge_sample": "0.5",
    "caption_engine": "generate",
    "caption_batch_size": "1",
    "caption_quantization": "fp8",
    "captioner_copies": "2",
    "reject_captions": "refusal,repetition",
    "worker_pools": "split",
    "gpu_accelerator": "type:nvidia-l4;count:1;install-nvidia-driver",
    "device": "cpu",
    "dtype": "float32",
    "retry": "all",
    "keep_checkpoint": "false",
    "verbose": "true",
}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_what_decides_an_outcome_is_the_identity(name: str) -> None:
    # With embeddings in the checkpoint, what reads them may change.
    same = {"save_embeddings": "true"} if name in ("clusters", "near_duplicate_similarity") else {}
    base, other = config(**same), config(**same, **{name: OTHER_VALUES[name]})
    assert getattr(base, name) != getattr(other, name)
    assert (base.digest() == other.digest()) == (name in NOT_IDENTITY)
    assert (base.identity() == other.identity()) == (name in NOT_IDENTITY)


ENDPOINT = {
    "caption_endpoint": "http://localhost:8000/v1",
    "caption_endpoint_model": "a-model",
    "caption_endpoint_key": "KEY",
}
JUDGE = {name.replace("caption", "judge"): value for name, value in ENDPOINT.items()}


def test_a_server_in_place_of_a_checkpoint() -> None:
    asked = config(**ENDPOINT)
    assert asked.makes_captions and asked.captioner is None and "captioner" not in asked.uses_demo_models
    for name in ("caption_endpoint", "caption_endpoint_model"):
        assert config(**{**ENDPOINT, name: "http://other:1/v1"}).digest() != asked.digest()
    assert config(**{**ENDPOINT, "caption_endpoint_key": "OTHER"}).digest() == asked.digest()
    with pytest.raises(ConfigError, match="--captioner=demo: is a second captioner beside --caption_endpoint"):
        config(**ENDPOINT, captioner="demo")
    assert config(**ENDPOINT, captioner="none") == asked
    assert not config(preset="text-debiased").makes_captions
    assert config(preset="text-debiased", **ENDPOINT).makes_captions


def test_every_flag_is_either_identity_or_not() -> None:
    # No other value of these stands alone.
    needs_another = {"clip_pretrained", "aesthetic_clip_pretrained", "min_aesthetic_score", *ENDPOINT, *JUDGE}
    assert {flag.name for flag in FLAGS} == set(OTHER_VALUES) | needs_another
    assert {flag.name for flag in FLAGS if not flag.decides_outcome} == NOT_IDENTITY


def test_a_preset_and_its_values_written_out_filter_alike() -> None:
    written = config(preset="text-debiased", min_clip_score="0.30", min_aesthetic_score="4.50", ocr="rapidocr")
    assert written.digest() == config(preset="text-debiased").digest()


def test_a_digest_is_short_and_stable() -> None:
    assert re.fullmatch("[0-9a-f]{16}", config().digest())
    assert config().digest() == config().digest()

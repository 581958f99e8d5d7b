"""The flags: what is refused, in one sentence, and what is shared with the main job."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from support.audits import write_run
from support.shards import write_parquet

from beam_recap.audit.config import AuditConfig, check_audit
from beam_recap.audit.flags import AUDIT_FLAGS
from beam_recap.audit.options import AuditOptions, format_help, parse_options
from beam_recap.flag import ConfigError
from beam_recap.options import parse_options as parse_recap

KEPT = [{"org_caption": "SALE", "ocr_has_text": True, "ocr_text": "SALE"}]


def config_of(*flags: str) -> AuditConfig:
    return parse_options(["--input=/in/*.parquet", "--output=/tmp/out", *flags]).config()


def test_every_flag_is_declared_to_beam_and_has_one_place() -> None:
    names = [flag.name for flag in AUDIT_FLAGS]
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(PipelineOptions([f"--{name}=7"]).view_as(AuditOptions), name) == "7"
    assert all(f"--{name} " in format_help("audit") for name in names)


def test_the_main_jobs_flags_arrive() -> None:
    config = config_of("--fetch_retries=7", "--image_size=512", "--prefilter=similarity>0.3", "--max_rows=9")
    recap = config.recap
    assert (recap.fetch_retries, recap.image_size, recap.max_rows) == (7, 512, 9)
    assert recap.prefilter
    assert (recap.ocr, recap.max_ocr_boxes, recap.captioner, recap.clip_model) == ("rapidocr", None, None, None)
    assert (recap.min_clip_score, recap.aesthetic_weights) == (None, None)


def test_both_programs_may_be_imported_by_one_process() -> None:
    """Beam then lets both declare their flags to one parser."""
    found = parse_options(["--input=a", "--output=b", "--max_words=3"]).get_all_options()
    assert (found["input"], found["max_words"], found["captioner"]) == ("a", "3", None)
    assert parse_recap(["--max_rows=3"]).get_all_options()["max_rows"] == "3"


def test_beams_flags_are_accepted_and_other_programs_are_not() -> None:
    options = parse_options(["--input=a", "--output=b", "--runner=DirectRunner", "--direct_num_workers=2"])
    assert options.view_as(StandardOptions).runner == "DirectRunner"
    with pytest.raises(ConfigError, match="--captioner=demo: no such flag"):
        parse_options(["--input=a", "--output=b", "--captioner=demo"])
    with pytest.raises(ConfigError, match="--fuzzy_threshold=1: no such flag"):
        parse_recap(["--fuzzy_threshold=1"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fuzzy_threshold=0"], ["--fuzzy_threshold=0", "0.01 to 1"]),
        (["--rows=most"], ["--rows=most", "kept, all"]),
        (["--resamples=-1"], ["--resamples=-1", "from 0"]),
        (["--max_words=0"], ["--max_words=0", "from 1"]),
        (["--words=w.txt"], ["--words=w.txt", "--clip_model"]),
        (["--font=f.ttf"], ["--font=f.ttf", "--clip_model"]),
        (["--clip_model=ViT-B-32"], ["--clip_model=ViT-B-32", "--clip_pretrained"]),
        (["--clip_model=/nowhere/x"], ["--clip_model=/nowhere/x"]),
        (["--device=tpu"], ["--device=tpu", "cuda"]),
        (["--fuzzy_treshold=1"], ["--fuzzy_treshold", "did you mean --fuzzy_threshold"]),
    ],
)
def test_bad_flags(flags: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        config_of(*flags)
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize(("given", "missing"), [(["--input=a"], "output"), (["--output=a"], "input")])
def test_input_and_output_are_required(given: list[str], missing: str) -> None:
    with pytest.raises(ConfigError, match=f"--{missing}=: is required"):
        parse_options(given).config()


def refusal_of(tmp_path: Path, *flags: str) -> str:
    with pytest.raises(ConfigError) as refusal:
        check_audit(parse_options([f"--output={tmp_path / 'out'}", *flags]).config())
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_inputs_that_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", KEPT)
    urls = write_parquet(tmp_path / "in.parquet", {"url": ["http://127.0.0.1/a"], "text": ["a"]})
    assert "matches no file" in refusal_of(tmp_path, f"--input={tmp_path}/none.parquet")
    assert "no column nope" in refusal_of(tmp_path, f"--input={urls}", "--caption_column=nope")
    assert "audit shards and runs apart" in refusal_of(tmp_path, f"--input={run},{urls}")
    assert "--rows=all" in refusal_of(tmp_path, f"--input={urls}", "--rows=all")
    for flag in ("--max_rows=3", "--url_column=u", "--verify_hash=h", "--prefilter=similarity>0.3"):
        assert f"{flag}: is for shards" in refusal_of(tmp_path, f"--input={run}", flag)
    (run / "summary.json").unlink()
    (run / "_checkpoint").mkdir()
    assert "has not ended" in refusal_of(tmp_path, f"--input={run}")


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    urls = write_parquet(tmp_path / "in" / "a.parquet", {"url": ["http://127.0.0.1/a"], "text": ["a"]})
    with pytest.raises(ConfigError, match="lies in the input folder"):
        check_audit(parse_options([f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'in' / 'x'}"]).config())
    with pytest.raises(ConfigError, match="is a file"):
        check_audit(parse_options([f"--input={urls}", f"--output={urls}/x"]).config())


def test_words_and_fonts_are_looked_at(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", KEPT)
    (tmp_path / "words.txt").write_text("one\ntwo\nthree\n")
    flags = [f"--input={run}", "--clip_model=demo"]
    assert "--words=" in refusal_of(tmp_path, *flags, f"--words={tmp_path}/none.txt")
    assert "is no font" in refusal_of(tmp_path, *flags, f"--font={tmp_path}/words.txt")
    output = f"--output={tmp_path / 'out'}"
    plan = check_audit(parse_options([*flags, output, f"--words={tmp_path}/words.txt", "--max_words=2"]).config())
    assert (plan.words, plan.font_name) == (("one", "two"), "Aileron Regular")
    plan = check_audit(parse_options([f"--input={run}", output]).config())
    assert (plan.words, plan.font_name, len(plan.runs)) == (None, None, 1)

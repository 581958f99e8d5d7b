"""Every refusal is one sentence on one line that names the flag, its value, and what would be right."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.shards import jpeg, write_parquet, write_tar

from beam_recap.audit.config import AuditConfig, check_audit
from beam_recap.clusters.settings import parse_flags as parse_cluster_flags
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError, Flag, read_flags
from beam_recap.flag_values import Kind, Reader
from beam_recap.plan.config import PlanConfig
from beam_recap.preflight import check_run

ROOT = Path(__file__).parents[2]
# What tells people what to do, and where it stands: after a comma, a semicolon or a colon, or after "or" and "and".
_IMPERATIVE = re.compile(
    r"(?:[;:,]|\bor|\band|\bfirst)(?: for [\w ]+)? (?:add|bring|copy|correct|decompress|fetch|give|install|leave|let|"
    r"look|make|name|put|rename|save|see|set|start|swap|use|wait|write)\b|did you mean "
)
_RANGE = re.compile(r"from [\d.e+-]+ to [\d.e+-]+|in \[-?\d+, \d+\]|of 1 to 10|at least \d+")


def command_flags() -> list[Any]:
    """Every flag of every command, once."""
    found = {}
    for path in [*sorted(ROOT.glob("beam_recap/**/*flags.py")), *sorted(ROOT.glob("beam_recap/*/settings.py"))]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for value in vars(importlib.import_module(name)).values():
            for flag in value if isinstance(value, tuple) else ():
                if isinstance(flag, Flag):
                    found.setdefault((flag.name, id(flag.parse)), pytest.param(flag, id=flag.name))
    return list(found.values())


# Of a wrong type, out of range, no choice, empty, in other scripts, of many lines.
_BAD = (
    "",
    " ",
    ",",
    "a,,b",
    "maybe",
    "1.5",
    "-1",
    "-7",
    "0",
    "1e99",
    "nan",
    "9" * 30,
    "a=b",
    "\u0665",
    "a\nb",
    "!? ü",
    "1/0",
)


def assert_reads_well(message: str, flag: str, value: str | None = None) -> None:
    start = f"--{flag}=" if value is None else f"--{flag}={value}: "
    assert message.startswith(start), message
    problem = message.removeprefix(start)
    assert message.isprintable() and len(message) < 1500, message
    said = re.sub(r" \(.*\)", "", problem)  # in brackets is what a library says
    assert not re.search(r"[.!?] [A-Z]", said) and not problem.endswith("."), message
    assert "Traceback" not in problem and "Error:" not in said, message
    assert _IMPERATIVE.search(problem), message


@pytest.mark.parametrize("flag", command_flags())
def test_every_flag_refuses_bad_values_well(flag: Flag) -> None:
    refused = 0
    for value in _BAD:
        try:
            flag.parse(value)
        except ValueError as problem:
            shown = value.replace("\n", "\\n")
            with pytest.raises(ConfigError) as refusal:
                read_flags([flag], {flag.name: value})
            message = str(refusal.value)
            assert_reads_well(message, flag.name, shown)
            _assert_tells_what_is_taken(flag, str(problem))
            refused += 1
    assert refused, f"--{flag.name} takes anything"


def _assert_tells_what_is_taken(flag: Flag, problem: str) -> None:
    if not isinstance(flag.parse, Reader) or "write it in ASCII" in problem:
        return
    if flag.parse.kind is Kind.NUMBER:
        assert _RANGE.search(problem), problem
    elif flag.parse.kind is Kind.BOOLEAN:
        assert "true" in problem and "false" in problem, problem
    for choice in flag.parse.choices:
        assert choice in problem, problem
    try:
        can_be_none = flag.parse("none") is None
    except ValueError:
        return
    if can_be_none and re.match("is not a|is out of range|is unknown", problem):
        assert problem.endswith("or none"), problem


def test_an_unknown_flag_is_refused_well() -> None:
    with pytest.raises(ConfigError) as refusal:
        read_flags([], {"speed": "3"})
    assert_reads_well(str(refusal.value), "speed", "3")


def test_a_value_of_many_lines_or_great_length_is_shown_in_one_short_line() -> None:
    assert (
        str(ConfigError("x", "a\tb\n\x1b[31m", "is odd; leave it out")) == "--x=a\\tb\\n\\x1b[31m: is odd; leave it out"
    )
    assert len(str(ConfigError("x", "y" * 10**6, "is long; give less"))) < 600


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user is: with an input that is fine, and some that are not."""
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "good.parquet", {"url": ["http://x"], "text": ["a"], "width": ["wide"]})
    write_parquet(tmp_path / "no_url.parquet", {"link": ["http://x"]})
    write_tar(tmp_path / "good.tar", [{"__key__": "a", "jpg": jpeg()}])
    (tmp_path / "shards").mkdir()
    write_parquet(tmp_path / "shards/a.parquet", {"url": ["http://x"]})
    (tmp_path / "photos").mkdir()
    for name, data in {
        "photos/a.jpg": jpeg(),
        "empty.parquet": b"",
        "cut.parquet": b"PAR1" + bytes(600),
        "paths.txt": b"/a.jpg\n",
        "names.txt": b"a.jpg\n",
        "table.csv": b"",
        "page.html": b"<html>",
        "list.json": b"3",
        "head.bin": b"",
        "word.txt": b"\xff",
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "model").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").touch()
    return tmp_path


def recap(**flags: str) -> None:
    check_run(RecapConfig.from_flags({"input": "good.parquet", "output": "out", **flags}))


def plan(**flags: str) -> None:
    PlanConfig.from_flags({"input": "good.parquet", "output": "out", **flags})


def audit(**flags: str) -> None:
    check_audit(AuditConfig.from_flags({"input": "good.parquet", "output": "out", **flags}))


def cluster(**flags: str) -> None:
    parse_cluster_flags([f"--{name}={value}" for name, value in {"input": "a", "output": "b", **flags}.items()])


# What is refused, by the flag that the sentence begins with.
_AT_ODDS: list[tuple[Callable[..., None], str, dict[str, str]]] = [
    # of the main job: flags that do not go together
    (recap, "output", {"output": ""}),
    (recap, "captioner", {"captioner": "demo", "caption_endpoint": "http://x", "caption_endpoint_model": "m"}),
    (recap, "allow_local_files", {"input": "gs://b/a.parquet", "allow_local_files": "true"}),
    (recap, "clip_pretrained", {"clip_model": "none", "clip_pretrained": "openai"}),
    (recap, "min_clip_score", {"clip_model": "none", "min_clip_score": "0.3"}),
    (recap, "more_clip_models", {"more_clip_models": "ViT-B-32/a.b,ViT-B-32/a-b"}),
    (recap, "min_aesthetic_score", {"min_aesthetic_score": "4.5"}),
    (recap, "aesthetic_clip_pretrained", {"aesthetic_clip_pretrained": "openai"}),
    (recap, "aesthetic_weights", {"clip_model": "none", "aesthetic_weights": "demo"}),
    (recap, "aesthetic_weights", {"clip_model": "A", "clip_pretrained": "b", "aesthetic_weights": "demo"}),
    (recap, "clusters", {"clip_model": "none", "clusters": "c"}),
    (recap, "near_duplicate_similarity", {"clip_model": "none", "near_duplicate_similarity": "0.9"}),
    (recap, "save_embeddings", {"clip_model": "none", "save_embeddings": "true"}),
    (recap, "filter_order", {"filter_order": "aesthetic,clip,ocr"}),
    (recap, "keep_checkpoint", {"slice": "1/2", "keep_checkpoint": "false"}),
    (recap, "worker_pools", {"captioner": "none", "worker_pools": "split"}),
    (recap, "caption_endpoint", {"caption_endpoint": "http://x"}),
    (recap, "caption_endpoint_model", {"caption_endpoint_model": "m"}),
    (recap, "caption_endpoint_key", {"caption_endpoint_key": "KEY"}),
    (recap, "judge_endpoint", {"judge_endpoint": "http://x"}),
    (recap, "judge_endpoint_model", {"judge_endpoint_model": "m"}),
    (recap, "judge_endpoint_key", {"judge_endpoint_key": "KEY"}),
    (recap, "device", {"device": "tpu"}),
    # models that cannot be
    (recap, "clip_model", {"clip_model": "ViT-L-14"}),
    (recap, "clip_model", {"clip_model": "./model"}),
    (recap, "clip_model", {"clip_model": "./none.pt"}),
    (recap, "clip_pretrained", {"clip_pretrained": "openai"}),
    (recap, "more_clip_models", {"more_clip_models": "ViT-L-14"}),
    (recap, "aesthetic_weights", {"aesthetic_weights": "head.bin"}),
    (recap, "aesthetic_weights", {"aesthetic_weights": "none.pth"}),
    (recap, "captioner", {"captioner": "./none"}),
    (recap, "captioner", {"captioner": "model"}),
    (recap, "captioner", {"captioner": "some/model"}),
    # input and output
    (recap, "input", {"input": "none.parquet"}),
    (recap, "input", {"input": "nosuch://b/a"}),
    (recap, "input", {"input": "photos"}),
    (recap, "input", {"input": "photos/*.jpg"}),
    (recap, "input", {"input": "model"}),
    (recap, "input", {"input": "empty.parquet"}),
    (recap, "input", {"input": "cut.parquet"}),
    (recap, "input", {"input": "paths.txt"}),
    (recap, "input", {"input": "names.txt", "allow_local_files": "true"}),
    (recap, "input", {"input": "table.csv"}),
    (recap, "input", {"input": "page.html"}),
    (recap, "input", {"input": "list.json"}),
    (recap, "url_column", {"input": "no_url.parquet"}),
    (recap, "caption_column", {"caption_column": "alt"}),
    (recap, "verify_hash", {"verify_hash": "md5"}),
    (recap, "prefilter", {"prefilter": "similarity>0.3"}),
    (recap, "output", {"output": "good.parquet/out"}),
    (recap, "output", {"output": "used"}),
    (recap, "output", {"input": "shards", "output": "shards/out"}),
    # of the other commands
    (plan, "prices", {"prices": "none.yaml"}),
    (plan, "prices", {"prices": "list.json"}),
    (plan, "machine_types", {"machine_types": "q7"}),
    (plan, "captioner_rates", {"captioner_rates": "nvidia-l4"}),
    (plan, "deadline_hours", {"deadline_hours": "1", "worker_startup_s": "7200"}),
    (plan, "min_clip_score", {"from_summary": "x", "min_clip_score": "0.3"}),
    (audit, "rows", {"rows": "all"}),
    (audit, "words", {"words": "word.txt"}),
    (audit, "words", {"clip_model": "demo", "words": "word.txt"}),
    (audit, "words", {"clip_model": "demo", "words": "none.txt"}),
    (audit, "font", {"font": "head.bin"}),
    (audit, "font", {"clip_model": "demo", "font": "head.bin"}),
    (audit, "input", {"input": "photos"}),
    (cluster, "min_points", {"min_points": "5", "max_points": "4"}),
    (cluster, "pca_batch_rows", {"pca_batch_rows": "5"}),
    (cluster, "redo", {"redo": "0"}),
]


@pytest.mark.parametrize(
    ("command", "flag", "flags"), _AT_ODDS, ids=[f"{command.__name__}-{flags}" for command, _, flags in _AT_ODDS]
)
def test_what_cannot_be_used_is_refused_well(
    folder: Path, command: Callable[..., None], flag: str, flags: dict[str, str]
) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(ConfigError) as refusal:
        command(**flags)
    assert_reads_well(str(refusal.value), flag)
    assert sorted(folder.rglob("*")) == before

"""Bad input costs one sentence that names flag, value and remedy, exit status 2, and writes nothing."""

from __future__ import annotations

import pytest
from support.recap_runs import run_command, run_here
from support.shards import write_parquet


@pytest.fixture
def urls(tmp_path):
    path = tmp_path / "in.parquet"
    write_parquet(path, {"url": ["http://127.0.0.1/a"], "text": ["a"]})
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--min_clip_score=30"], ["--min_clip_score=30", "cosine", "0.3"]),
        (["--min_aesthetic_score=0.45"], ["--min_aesthetic_score=0.45", "1 to 10", "4.5"]),
        (["--min_clipp_score=0.3"], ["--min_clipp_score", "did you mean --min_clip_score"]),
        (["--nonsense=1"], ["--nonsense", "no such flag"]),
        (["--unit_rows=0"], ["--unit_rows=0", "from 1"]),
        (["--preset=fancy"], ["--preset=fancy", "recap-debiased"]),
        (["--captioner=/nowhere/llava"], ["--captioner=/nowhere/llava", "does not exist"]),
        (["--captioner=some/model"], ["--captioner=some/model", "ID@REVISION"]),
        (["--clip_model=ViT-L-14"], ["--clip_model=ViT-L-14", "--clip_pretrained"]),
        (["--clip_model=none"], ["needs a CLIP model"]),
        (["--aesthetic_weights=/nowhere/head.pth"], ["--aesthetic_weights=/nowhere/head.pth", "does not exist"]),
        (["--device=tpu"], ["--device=tpu", "cuda"]),
    ],
)
def test_bad_flags(tmp_path, urls, capsys, flags, words):
    output = tmp_path / "out"
    preset = [] if any(flag.startswith("--preset") for flag in flags) else ["--preset=recap-debiased"]
    assert run_here(f"--input={urls}", f"--output={output}", *preset, *flags) == 2
    _assert_one_sentence(capsys, words)
    assert not output.exists()


def test_output_is_required_with_input(urls, capsys):
    assert run_here(f"--input={urls}") == 2
    _assert_one_sentence(capsys, ["--output"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["--input=", "matches no file"]),
        (b"", ["--input=", "is empty"]),
        (b"hello world" * 100, ["--input=", "neither a Parquet file nor a tar"]),
        (b"PAR1" + b"\0" * 600, ["--input=", "not a readable Parquet file"]),
    ],
)
def test_bad_shards(tmp_path, capsys, content, words):
    shard, output = tmp_path / "shard.parquet", tmp_path / "out"
    if content is not None:
        shard.write_bytes(content)
    assert run_here(f"--input={shard}", f"--output={output}") == 2
    _assert_one_sentence(capsys, [str(shard), *words])
    assert not output.exists()


def test_one_bad_shard_among_good_ones(tmp_path, urls, capsys):
    (tmp_path / "zz.parquet").write_bytes(b"not parquet")
    output = tmp_path / "out"
    assert run_here(f"--input={tmp_path}/*.parquet", f"--output={output}") == 2
    _assert_one_sentence(capsys, ["zz.parquet"])
    assert not output.exists()


def test_no_url_column(tmp_path, capsys):
    shard, output = tmp_path / "in.parquet", tmp_path / "out"
    write_parquet(shard, {"link": ["http://a"], "text": ["a"]})
    assert run_here(f"--input={shard}", f"--output={output}") == 2
    _assert_one_sentence(capsys, ["--url_column", "link", str(shard)])
    assert run_here(f"--input={shard}", f"--output={output}", "--url_column=href") == 2
    _assert_one_sentence(capsys, ["--url_column=href", "link"])
    assert not output.exists()


def test_output_of_something_else(tmp_path, urls, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    assert run_here(f"--input={urls}", f"--output={output}") == 2
    _assert_one_sentence(capsys, [f"--output={output}", "not empty"])
    assert [path.name for path in output.iterdir()] == ["thesis.tex"]


def test_output_of_another_run(tmp_path, urls, capsys):
    output = tmp_path / "out"
    common = [f"--input={urls}", f"--output={output}", "--captioner=none", "--clip_model=none"]
    assert run_here(*common) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run_here(*common, "--image_size=512") == 2
    _assert_one_sentence(capsys, [f"--output={output}", "--image_size was 1536, now 512"])
    assert before == {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_the_command_itself(tmp_path):
    done = run_command("--min_clip_score=30", f"--output={tmp_path}/out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    helped = run_command("--help")
    assert helped.returncode == 0
    assert "--min_clip_score" in helped.stdout


def _assert_one_sentence(capsys, words):
    said = capsys.readouterr().err.strip().splitlines()
    said = [line for line in said if line.startswith("python -m pipelines.recap: ")]
    assert len(said) == 1
    for word in words:
        assert word in said[0]

"""The command: what it writes, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.embeddings import blobs, contents, write_embeddings
from support.gcs_server import GcsServer
from support.signals import heed_interrupts

from beam_recap.clusters import model_folder
from beam_recap.clusters.arrays import array_bytes
from beam_recap.clusters.model import ClusterModelError
from pipelines.cluster import main

ROOT = Path(__file__).parents[2]
ROWS, CENTRES = blobs(900, 16)
SMALL = ["--pca_dimensions=4", "--clusters=5", "--iterations=10", "--redo=10", "--min_points=5"]
LOADED = """
import json, sys
from pipelines.cluster import main
status = main(json.loads(sys.argv[1]))
print(json.dumps([status, [name for name in ("faiss", "sklearn", "scipy", "torch") if name in sys.modules]]))
"""
# The command, stopping before its last file until the process is ended.
HELD = """
import sys, time
from beam_recap import files
from pipelines.cluster import main
write = files.write_bytes
def hold(path, data):
    if path.endswith("centroids.npy"):
        print("writing", flush=True)
        time.sleep(120)
    write(path, data)
files.write_bytes = hold
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("run"), ROWS, files=3)


def start(arguments: list[str], code: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *(["-c", code] if code else ["-m", "pipelines.cluster"]), *arguments]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def test_the_command(run_directory: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "model"
    process = start([f"--input={run_directory}", f"--output={output}", *SMALL])
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, ""), err
    lines = err.splitlines()
    assert lines[0] == "PCA: 900 rows, 16 to 4 numbers"
    assert "K-means: 900 rows, 5 clusters, 10 starts" in lines
    assert lines[-1].startswith("Done: 5 clusters of ") and f" in {output}, after " in lines[-1]
    labels = model_folder.load(str(output)).assign(ROWS)
    assert len(set(zip(labels.tolist(), CENTRES.tolist(), strict=True))) == 5
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["kmeans"]["seed"], manifest["kmeans"]["max_points"], manifest["pca"]["batch_rows"]) == (
        42,
        200_000,
        200_000,
    )
    assert set(manifest["packages"]) == {"beam-recap", "faiss-cpu", "scikit-learn", "scipy", "numpy"}


def test_the_same_rows_give_the_same_bytes(run_directory: Path, tmp_path: Path) -> None:
    files = sorted((run_directory / "embeddings").iterdir())
    again = write_embeddings(tmp_path / "again", ROWS, cuts=[1, 70, 71, 500])
    for name, value in {
        "a": str(run_directory),
        "b": ",".join(map(str, files[::-1])),
        "c": f"{run_directory}/embeddings/*-00001-*,{run_directory}/embeddings",
        "d": str(again),
    }.items():
        assert main([f"--input={value}", f"--output={tmp_path / name}", *SMALL]) == 0
    expected = contents(tmp_path / "a")
    assert all(contents(tmp_path / name) == expected for name in "bcd")


def test_a_model_is_replaced_and_nothing_else_is(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [f"--input={run_directory}", f"--output={tmp_path}/model"]
    assert main([*common, *SMALL]) == 0
    assert main([*common, "--pca_dimensions=none", *SMALL[1:]]) == 0
    assert sorted(contents(tmp_path / "model")) == ["centroids.npy", "manifest.json"]
    assert f"Replacing the model in {tmp_path}/model." in capsys.readouterr().err
    assert main([common[0], f"--output={run_directory}", *SMALL]) == 2
    problem = "is not empty and holds no cluster model of this project; give another directory"
    assert capsys.readouterr().err == f"python -m pipelines.cluster: --output={run_directory}: {problem}\n"
    assert [path.name for path in run_directory.iterdir()] == ["embeddings"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--input=: is required; write --input=PATTERN"),
        (["--input=x"], "--output=: is required; write --output=DIR"),
        (["--output"], "--output=: has no value; write --flag=value"),
        (["--input=,"], "--input=,: names no file; give paths or globs separated by commas"),
        (["--clusers=3"], "--clusers=3: no such flag; did you mean --clusters?"),
        (["--zzz=3"], "--zzz=3: no such flag; see --help"),
        (["x"], "--input=x: flags look like --name=value; did you mean this?"),
        (["--redo=1", "--redo=2"], "--redo=2: is given twice"),
        (["--clusters=0"], "--clusters=0: is out of range; give a whole number from 1 to 10000000"),
        (["--redo=71"], "--redo=71: is out of range; give a whole number from 1 to 70"),
        (["--seed=-1"], "--seed=-1: is out of range; give a whole number from 0 to 1000000000"),
        (["--iterations=many"], "--iterations=many: is not a whole number; give one from 1 to 100000"),
        (["--normalise=yes"], "--normalise=yes: is neither true nor false; give one of them"),
        (["--metric=cosine"], "--metric=cosine: is unknown; give one of l2, dot"),
        (["--min_points=200001"], "--min_points=200001: is more than --max_points=200000; give a smaller one"),
        (
            ["--pca_batch_rows=255"],
            "--pca_batch_rows=255: is fewer than --pca_dimensions=256; give at least as many",
        ),
        (
            ["--input=/no/such"],
            "--input=/no/such: /no/such is no .npy file, no folder of them and no glob that matches any",
        ),
        ([], "--clusters=4000: needs 40,000,000 rows with --min_points=10000, and there are 900; give fewer clusters,"),
        (["--pca_dimensions=256"], "--pca_dimensions=256: is more than the 16 numbers of an embedding; give at most"),
        (["--output=gs2://x"], "--output=gs2://x: cannot be read"),
    ],
)
def test_what_cannot_be_used(
    arguments: list[str], sentence: str, run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {word.partition("=")[0] for word in arguments}
    required = "is required" in sentence
    if not required and "--input" not in given:
        arguments = [f"--input={run_directory}", *arguments]
    if not required and "--output" not in given:
        arguments = [f"--output={tmp_path}/model", *arguments]
    if "--clusters=4000" in sentence:
        arguments = [*arguments, "--pca_dimensions=16"]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"python -m pipelines.cluster: {sentence}")
    assert told.err.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_bad_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ROWS.copy()
    rows[400, 2] = np.nan
    run = write_embeddings(tmp_path / "run", rows, files=3)
    assert main([f"--input={run}", f"--output={tmp_path}/model", *SMALL]) == 2
    file = run / "embeddings" / "train-00001-of-00003.npy"
    assert f": {file} holds a number in row 100 that is not finite; give " in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_help_and_refusals_load_nothing_heavy(run_directory: Path, tmp_path: Path) -> None:
    for arguments, status in (
        (["--help"], 0),
        ([f"--input={run_directory}", f"--output={tmp_path}/model"], 2),
    ):
        out, err = start([json.dumps(arguments)], LOADED).communicate(timeout=60)
        told = out.splitlines()[-1]
        assert json.loads(told) == [status, []], err
    out, _ = start(["--help"]).communicate(timeout=60)
    assert out.startswith("usage: python -m pipelines.cluster --input=PATTERN --output=DIR")
    assert "Default: 4000" in out


def test_a_killed_command_leaves_no_model_and_the_next_one_writes_it(run_directory: Path, tmp_path: Path) -> None:
    arguments = [f"--input={run_directory}", f"--output={tmp_path}/model", f"--temporary_folder={tmp_path}", *SMALL]
    process = start(arguments, HELD)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate(timeout=60)
    with pytest.raises(ClusterModelError, match=r"it holds no centroids\.npy"):
        model_folder.load(str(tmp_path / "model"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert main(arguments) == 0
    assert model_folder.load(str(tmp_path / "model")).clusters == 5


def test_an_interrupted_command_writes_nothing(run_directory: Path, tmp_path: Path) -> None:
    long = ["--pca_dimensions=none", "--clusters=300", "--iterations=100000", "--redo=70", "--min_points=1"]
    random = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float16)
    run = write_embeddings(tmp_path / "run", random)
    process = start([f"--input={run}", f"--output={tmp_path}/model", *long])
    assert process.stderr is not None
    assert process.stderr.readline() == "K-means: 20,000 rows, 300 clusters, 70 starts\n"
    process.stderr.readline()  # progress: it is in the midst of it
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "python -m pipelines.cluster: interrupted; nothing was written"
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_from_and_to_an_object_store(gcs: GcsServer, run_directory: Path, tmp_path: Path) -> None:
    gcs.buckets.add("b")
    for number, part in enumerate(np.array_split(ROWS, 2)):
        gcs.put(f"gs://b/run/embeddings/train-{number:05d}-of-00002.npy", array_bytes(part))
    assert main(["--input=gs://b/run", "--output=gs://b/model", *SMALL]) == 0
    assert main([f"--input={run_directory}", f"--output={tmp_path}/model", *SMALL]) == 0
    names = sorted(contents(tmp_path / "model"))
    assert sorted(name for name in gcs.objects if "/model/" in name) == [f"gs://b/model/{name}" for name in names]
    assert np.array_equal(
        model_folder.load("gs://b/model").assign(ROWS), model_folder.load(str(tmp_path / "model")).assign(ROWS)
    )

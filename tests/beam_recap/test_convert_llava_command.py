"""The command: flags, exit status, interruption, and no network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.llava_inference import demo_model, demo_tokenizer
from support.llava_original import write_original, write_tower

from beam_recap.convert_llava import main
from beam_recap.models import llava_convert

ROOT = Path(__file__).parents[2]
# The command, stopping before its weights are written until the process is ended.
HELD = """
import runpy, sys, time
from beam_recap.models import llava_convert
def hold(folder, *rest):
    (folder / "model.safetensors").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(120)
llava_convert.write_shards = hold
runpy.run_module("beam_recap.convert_llava", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    model = demo_model()
    original = write_original(folder / "llava", model, demo_tokenizer(), with_tower=False)
    return [f"--input={original}", f"--vision_tower={write_tower(folder / 'clip', model)}"]


def run(arguments: list[str], code: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    start = ["-c", code] if code else ["-m", "beam_recap.convert_llava"]
    return subprocess.Popen(
        [sys.executable, *start, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_command(folders: list[str], tmp_path: Path) -> None:
    process = run([*folders, f"--output={tmp_path / 'a' / 'hf'}", "--dtype=bfloat16"])
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"wrote {tmp_path / 'a' / 'hf'}: 113 tensors, 3,232,512 bytes of bfloat16"
    assert lines[1:3] == [
        "vocabulary: 706 rows",
        "tokens: <image> 6, padding <|finetune_right_pad_id|> 5, ends <|end_of_text|> <|eot_id|>",
    ]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["hf"]


def test_no_network_is_asked(folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (tmp_path / "hf").mkdir()  # an empty folder is as good as none
    assert main([*folders, f"--output={tmp_path / 'hf'}"]) == 0
    # Weights may be read by whoever may read the rest.
    assert len({path.stat().st_mode for path in (tmp_path / "hf").iterdir()}) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--input=: is required; write --input=FOLDER"),
        (["--input=."], "--output=: is required; write --output=FOLDER"),
        (["--input"], "--input=: has no value; write --flag=value"),
        (["--input="], "--input=: is empty; give a value or leave the flag out"),
        (["--inptu=x"], "--inptu=x: no such flag; did you mean --input?"),
        (["--zzz=x"], "--zzz=x: no such flag; see --help"),
        (["x"], "--input=x: flags look like --name=value; did you mean this?"),
        (["--dtype=int8"], "--dtype=int8: is unknown; give one of bfloat16, float16, float32, keep"),
        (["--input=.", "--input=."], "--input=.: is given twice, first as .; leave one of them out"),
        (["--input=/no/such", "--output=x"], "--input=/no/such: is no folder; give that of the checkpoint"),
        (
            ["--input=.", "--output=x", "--vision_tower=/no/such"],
            "--vision_tower=/no/such: is no folder; give that of the CLIP",
        ),
        (["--input={empty}", "--output=x"], "--input={empty}: there is no config.json."),
        (["--input=.", "--output={full}"], "--output={full}: it exists already; give another name."),
        (["--input=.", "--output={full}/file"], "--output={full}/file: it exists already; give another name."),
    ],
)
def test_flags_that_do_not_fit(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"full": tmp_path / "full", "empty": tmp_path / "empty"}
    for place in places.values():
        place.mkdir()
    (places["full"] / "file").touch()
    assert main([argument.format(**places) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", sentence.format(**places) + "\n")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m beam_recap.convert_llava --input=FOLDER")


def test_a_conversion_that_is_told_to_end_leaves_nothing(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run([*folders, f"--output={tmp_path / 'hf'}"], HELD)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGTERM, "")
    assert list(tmp_path.iterdir()) == []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(llava_convert, "write_shards", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main([*folders, f"--output={tmp_path / 'hf'}"])
    assert list(tmp_path.iterdir()) == []


def test_a_killed_conversion_leaves_no_output_and_the_next_one_clears_up(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "hf"
    process = run([*folders, f"--output={output}"], HELD)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    assert main([*folders, f"--output={output}"]) == 2  # while it is running
    assert capsys.readouterr().err == f"--output={output}: another conversion is writing it.\n"
    process.kill()
    process.communicate(timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == [".hf.unfinished"]
    assert main([*folders, f"--output={output}"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    assert (output / "model.safetensors").stat().st_size > 3e6


def test_a_full_disk_leaves_nothing(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = llava_convert.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(llava_convert.shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    assert main([*folders, f"--output={tmp_path / 'hf'}"]) == 2
    assert capsys.readouterr().err == f"--output={tmp_path / 'hf'}: 0.0 GB are needed, and 0.0 GB are free.\n"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(llava_convert, "write_shards", fail)
    assert main([*folders, f"--output={tmp_path / 'hf'}"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

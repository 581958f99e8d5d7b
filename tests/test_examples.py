"""``docs/examples.md`` as a user pastes it: each command and each block of Python does what the page says."""

from __future__ import annotations

import io
import random
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.recap_runs import ROOT, assert_accounts, kept, reasons
from support.shards import jpeg, write_parquet, write_tar
from support.web_server import WebServer

from beam_recap.demo import paths
from beam_recap.demo.draw import draw_scene
from beam_recap.demo.scenes import describe, random_scene
from docs.examples import keep_sharp_pictures
from pipelines import recap

PAGE = (ROOT / "docs/examples.md").read_text()
# Models that nobody has here: the demonstration's take their place.
_MODELS = {"captioner", "clip_model", "aesthetic_weights"}
_OF_MODELS = {"clip_pretrained", "aesthetic_clip_model", "aesthetic_clip_pretrained"}


def blocks(heading: str, language: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [text for named, text in found if named == language]


def commands(heading: str) -> list[str]:
    return [line for block in blocks(heading, "sh") for line in block.replace("\\\n", " ").splitlines()]


def run(command: str) -> None:
    """A command of the page, in the working directory."""
    words = shlex.split(command)
    if words[0] != ".venv/bin/python":
        subprocess.run(command, shell=True, check=True)
        return
    assert words[1:4] == ["-m", "pipelines.recap", "--runner=DirectRunner"]
    flags = dict(word.removeprefix("--").split("=", 1) for word in words[3:])
    given = {name: "demo" if name in _MODELS and text != "none" else text for name, text in flags.items()}
    argv = [f"--{name}={text}" for name, text in given.items() if name not in _OF_MODELS]
    assert recap.main([*argv, "--allow_private_hosts=true"]) == 0


def drawn(count: int) -> tuple[list[bytes], list[str]]:
    """Pictures that the demonstration's models know, and their captions."""
    rng = random.Random(5)
    scenes = [random_scene(rng, held_out=True, objects=1) for _ in range(count)]
    pictures = []
    for scene in scenes:
        buffer = io.BytesIO()
        draw_scene(scene, rng).save(buffer, "JPEG", quality=95)
        pictures.append(buffer.getvalue())
    return pictures, [describe(scene) for scene in scenes]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def web() -> Iterator[WebServer]:
    pictures, captions = drawn(2)
    with WebServer({"/a.jpg": pictures[0], "/b.jpg": pictures[1], "/odd.jpg": pictures[0]}) as server:
        server.captions = captions
        yield server


def test_a_folder_of_images(folder: Path) -> None:
    names = ["a b.jpg", "deep er/été ☕ 100%25 #1?.jpeg", "notes.md"]
    for name in names:
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(color=(len(name), 9, 200)) if "jp" in path.suffix else b"hello")
    listing, captioning, with_captions = commands("Caption a folder of images")
    run(listing)
    run(captioning)
    output = folder / "my-captions"
    assert_accounts(output, rows=3)
    found = kept(output).to_pylist()
    assert sorted(row["url"] for row in found) == [f"{folder}/photos/{name}" for name in names[:2]]
    assert all(row["re_caption"] and row["re_clip_score"] is None for row in found)
    assert reasons(output) == {"not_an_image": 1}

    (table,) = blocks("Caption a folder of images", "")
    (folder / "photos.csv").write_text(table.replace("/home/me/photos/beach.jpg", f"{folder}/photos/a b.jpg"))
    run(with_captions)
    (row,) = kept(folder / "my-captions-2").to_pylist()
    assert row["org_caption"] == "The beach at noon, with Anna" and row["re_caption"] and row["re_clip_score"]
    assert reasons(folder / "my-captions-2") == {"missing_image": 1}


def test_webdataset_tars(folder: Path) -> None:
    (folder / "shards").mkdir()
    (command,) = commands("Caption my webdataset tars")
    samples = [
        {"__key__": "000", "jpg": jpeg(), "txt": b"a red square"},
        {"__key__": "001", "jpg": jpeg(), "json": b'{"caption": "red", "url": "http://x/1"}'},
    ]
    write_tar(folder / "shards/00000.tar", samples)
    run(command)
    rows = kept(folder / "my-captions-3").to_pylist()
    assert [(row["key"], row["org_caption"]) for row in rows] == [("000", "a red square"), ("001", "red")]
    assert all(row["re_caption"] for row in rows)


def test_laions_metadata(folder: Path, web: WebServer) -> None:
    (folder / "laion").mkdir()
    columns = {
        "URL": [
            web.url(path) for path in ("/a.jpg", "/b.jpg", "/odd.jpg", "/never-1.jpg", "/never-2.jpg", "/never-3.jpg")
        ],
        "TEXT": [*web.captions, "click here to subscribe", "x", "x", "x"],
        "similarity": [0.4, 0.4, 0.4, 0.2, 0.4, 0.4],
        "NSFW": ["UNLIKELY"] * 4 + ["NSFW", "UNLIKELY"],
        "WIDTH": [300] * 6,
        "HEIGHT": [300] * 5 + [255],
    }
    write_parquet(folder / "laion/00000.parquet", columns)
    (command,) = commands("Filter LAION's metadata")
    run(command)
    output = folder / "my-subset"
    assert_accounts(output, rows=6)
    assert reasons(output) == {"prefiltered": 3, "low_clip_score": 1}
    assert set(web.requests) == {"/a.jpg", "/b.jpg", "/odd.jpg"}
    assert all(row["similarity"] > 0.3 and row["ase_scores"] > 4.5 for row in kept(output).to_pylist())


def test_scores_only(folder: Path, web: WebServer) -> None:
    (folder / "shards").mkdir()
    columns = {"url": [web.url("/a.jpg"), web.url("/a.jpg"), web.url("/b.jpg")], "text": ["nonsense", "nonsense", None]}
    write_parquet(folder / "shards/a.parquet", columns)
    (command,) = commands("Only score")
    run(command)
    table = kept(folder / "my-scores")
    assert table.num_rows == 3  # nothing is dropped, whatever the scores
    section = PAGE.split("## Only score\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(similarity|ase_scores|ocr_\w+|co_\w+)`", section))
    assert len(named) == 7 and named <= set(table.column_names)
    assert None not in [
        row[name] for row in table.to_pylist()[:2] for name in ("similarity", "ase_scores", "ocr_boxes")
    ]


def test_the_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = blocks("In a notebook", "python")
    assert len([line for line in first.splitlines() if line]) <= 10
    *lines, last = first.strip().splitlines()
    cell: dict[str, object] = {"__name__": "__main__"}
    exec("\n".join(lines), cell)
    table = eval(last, cell)  # what a notebook shows
    assert len(table) == 24
    assert table["reason"].value_counts().to_dict() == {"low_clip_score": 3, "has_text": 2, "corrupt": 1}
    assert (table.loc[table["reason"].isna(), "clip_score"] > 0.3).all()
    assert "max_rows=200" in PAGE and cell["found"].kept[0].image.shape[-1] == 3
    exec(second, cell)
    kept_at = [int(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(kept_at) == 3 and kept_at == sorted(kept_at, reverse=True)


def test_a_pipeline_with_a_filter_of_ones_own(folder: Path) -> None:
    (folder / "photos.txt").write_text(f"{folder}/plain.jpg\n{paths.SHARD.parent}/none.jpg\n")
    (folder / "plain.jpg").write_bytes(jpeg())
    command, _ = commands("Add my own filter")
    words = shlex.split(command)
    assert words[:3] == [".venv/bin/python", "-m", "docs.examples.keep_sharp_pictures"]
    keep_sharp_pictures.main(words[3:])
    output = folder / "sharp-photos"
    assert kept(output).num_rows == 0
    assert reasons(output) == {"blurred": 1, "missing_image": 1}
    with pytest.raises(SystemExit, match="--output=sharp-photos: is there already; give a new directory"):
        keep_sharp_pictures.main(words[3:])

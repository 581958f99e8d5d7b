"""Our tars beside img2dataset's own, where ``BEAM_RECAP_IMG2DATASET`` names a Python that has it.

img2dataset 1.47 writes webdataset tars and reads none (its ``input_format`` has no such word), so its reader of them is
the webdataset that it installs.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.pictures import draw_photo, encode
from support.recap_runs import ROOT, kept, run_here
from support.shards import write_parquet
from support.web_server import WebServer

PYTHON = os.environ.get("BEAM_RECAP_IMG2DATASET")
ROWS = 12
pytestmark = pytest.mark.skipif(PYTHON is None, reason="BEAM_RECAP_IMG2DATASET names no Python with img2dataset")


def read_there(folder: Path) -> list[dict[str, Any]]:
    """What img2dataset's environment makes of the tars in a folder."""
    tars = sorted(map(str, folder.glob("*.tar")))
    command = [str(PYTHON), str(ROOT / "tests/support/img2dataset_side.py"), *tars]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same pictures, shrunk to 100 px where they are larger, by us and by img2dataset."""
    folder = tmp_path_factory.mktemp("img2dataset")
    pictures = {f"/{row}.png": encode(draw_photo(60 + 10 * row, 80 + 5 * row)) for row in range(ROWS)}
    with WebServer(pictures) as web:
        urls = [web.url(path) for path in pictures]
        captions = [None if row == 5 else f"caption {row} “ä”" for row in range(ROWS)]
        write_parquet(
            folder / "in.parquet", {"url": urls, "caption": captions, "uid": [f"u{row}" for row in range(ROWS)]}
        )
        ours = ("--preset=recap", "--captioner=none", "--clip_model=none", "--allow_private_hosts=true")
        size = ("--image_size=100", "--output_format=parquet,webdataset", "--extra_columns=true", "--fetch_ports=none")
        assert run_here(f"--input={folder}/in.parquet", f"--output={folder}/ours", *ours, *size) == 0
        flags = {
            "url_list": f"{folder}/in.parquet",
            "output_folder": f"{folder}/theirs",
            "input_format": "parquet",
            "url_col": "url",
            "caption_col": "caption",
            "save_additional_columns": '["uid"]',
            "output_format": "webdataset",
            "image_size": "100",
            "resize_mode": "keep_ratio_largest",
            "resize_only_if_bigger": "True",
            "processes_count": "1",
            "thread_count": "2",
            "enable_wandb": "False",
        }
        program = Path(str(PYTHON)).with_name("img2dataset")
        command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
        environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
        assert done.returncode == 0, done.stderr
    return folder / "ours", folder / "theirs"


def test_what_img2dataset_installs_opens_our_tars(folders: tuple[Path, Path]) -> None:
    ours, _ = folders
    read, rows = read_there(ours / "webdataset"), kept(ours).to_pylist()
    assert len(read) == len(rows) == ROWS
    assert [sample["key"] for sample in read] == [row["key"] for row in rows]
    assert [sample["txt"] for sample in read] == [row["org_caption"] or "" for row in rows]
    assert all(sample["size"] == [sample["json"]["width"], sample["json"]["height"]] for sample in read)


def test_they_are_laid_out_as_its_own(folders: tuple[Path, Path]) -> None:
    ours, theirs = (
        {sample["json"]["uid"]: sample for sample in read}
        for read in (read_there(folders[0] / "webdataset"), read_there(folders[1]))
    )
    assert ours.keys() == theirs.keys()
    for uid, their in theirs.items():
        our = ours[uid]
        assert our["suffixes"] == their["suffixes"]
        assert (our["txt"], our["size"]) == (their["txt"], their["size"])
        assert our["json"].keys() >= their["json"].keys()
        # Keys number what each was given; EXIF tags are our reader's own selection.
        same = [name for name in their["json"] if name not in ("key", "exif")]
        assert {name: our["json"][name] for name in same} == {name: their["json"][name] for name in same}
    # Of pictures that nobody resizes the very bytes are the same.
    small = [uid for uid, sample in theirs.items() if sample["json"]["original_height"] <= 100]
    small = [uid for uid in small if theirs[uid]["json"]["original_width"] <= 100]
    assert len(small) == 5
    assert all(ours[uid]["jpg"] == theirs[uid]["jpg"] for uid in small)

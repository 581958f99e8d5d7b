"""A small job that runs on local files and in a bucket alike: tables of URLs by pattern, tars in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.gcs_api import GcsApi
from support.shards import jpeg, write_parquet, write_tar
from support.web_server import WebServer

BUCKET = "gs://recap-bucket"
OUTPUT = f"{BUCKET}/runs/one"
ROWS = 40
_COLORS = ("red", "blue", "green", "yellow", "black")
# Nothing here depends on where the input lies: the schema "recap" has no column that names a file, unlike its extra
# columns (source_unit, config_digest).
_FLAGS = ("--allow_private_hosts=true", "--unit_rows=6", "--rows_per_file=15", "--fetch_retries=0")
NO_MODELS = ("--captioner=none", "--clip_model=none")


def serve_pictures() -> WebServer:
    """A web of pictures, for `write_input`."""
    return WebServer({f"/{color}.jpg": jpeg(60, 50 + place, color) for place, color in enumerate(_COLORS)})


def write_input(folder: Path, web: WebServer) -> Path:
    """Writes tables of 24 rows, of which 2 have no picture, and tars of 16, of which 2 have a broken one."""
    (folder / "tars" / "b").mkdir(parents=True)
    for number in range(2):
        paths = [f"/{_COLORS[row % 5]}.jpg?row={number}-{row}" for row in range(11)] + [f"/status/404?row={number}"]
        columns = {"url": [web.url(path) for path in paths], "text": [f"picture {row}" for row in range(12)]}
        write_parquet(folder / f"urls-{number}.parquet", columns, row_group_size=6)
        pictures = [jpeg(50 + number, 40 + row, _COLORS[row % 5]) for row in range(7)] + [b"no picture"]
        samples = [{"__key__": f"{number}{row}", "jpg": data, "txt": b"a"} for row, data in enumerate(pictures)]
        write_tar(folder / "tars" / ("a.tar", "b/c.tar")[number], samples)
    return folder


def flags(place: str | Path, output: str | Path) -> list[str]:
    """The command's flags, for input at a place."""
    return [f"--input={place}/urls-*.parquet,{place}/tars", f"--output={output}", *_FLAGS, *NO_MODELS]


def final_files(gcs: GcsApi, output: str = OUTPUT) -> dict[str, bytes]:
    """As `recap_runs.final_bytes`, of a run in a bucket."""
    return {name: data for name, data in files_beneath(gcs, output).items() if is_final(name)}


def is_final(name: str) -> bool:
    return name.startswith(("data/", "rejected/", "embeddings/"))


def files_beneath(gcs: GcsApi, folder: str) -> Mapping[str, bytes]:
    """All that is stored beneath a folder, by name within it."""
    with gcs.lock:
        return {
            path.removeprefix(f"{folder}/"): stored.data
            for path, stored in gcs.objects.items()
            if path.startswith(f"{folder}/")
        }


def unfinished(gcs: GcsApi) -> list[str]:
    """What is stored under a temporary name."""
    return [path for path in gcs.objects if path.rsplit("/", 1)[-1].startswith(".tmp-")]

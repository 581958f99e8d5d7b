"""img2dataset, in an environment of its own, on the same work."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.47.0"
_PYTHON = "3.11"  # it does not start with 3.13 and later

# setuptools: some of its dependencies import pkg_resources, which newer ones no longer have.
_PACKAGES = (f"img2dataset=={VERSION}", "setuptools<81")


def prepare_peer(cache: Path) -> Path:
    """Installs img2dataset unless it is there; needs a package index.

    Args:
      cache: folder for what is kept between runs.

    Returns:
      Its program.

    Raises:
      RuntimeError: there is neither uv nor a Python that it runs on.
      subprocess.CalledProcessError: the installation failed.
    """
    folder = cache / f"img2dataset-{VERSION}"
    program = folder / "bin" / "img2dataset"
    ready = folder / "ready"
    if ready.exists():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    python = str(folder / "bin" / "python")
    if uv is not None:
        commands = [
            [uv, "venv", "--quiet", "--python", _PYTHON, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", python, *_PACKAGES],
        ]
    elif sys.version_info[:2] in ((3, 10), (3, 11), (3, 12)):
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES],
        ]
    else:
        raise RuntimeError(f"img2dataset {VERSION} needs Python {_PYTHON}; install uv, which fetches one")
    for command in commands:
        subprocess.run(command, check=True, stdout=sys.stderr)
    ready.touch()
    return program


def peer_command(program: Path, urls: Path, count: int, output: Path, processes: int, threads: int) -> list[str]:
    """The command line that a user would write for this work.

    Args:
      program: of `prepare_peer`.
      urls: file with one URL per line.
      count: lines in it; they are dealt to the processes in shards.
      output: folder for its parquet files.
      processes: of img2dataset.
      threads: in each process.
    """
    options = {
        "url_list": urls,
        "input_format": "txt",
        "output_folder": output,
        "output_format": "parquet",
        "image_size": 336,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        "encode_quality": 95,
        "compute_hash": "sha256",
        "processes_count": processes,
        "thread_count": threads,
        "number_sample_per_shard": math.ceil(count / processes),
        "retries": 2,
        "timeout": 20,
    }
    return [str(program), *(f"--{name}={value}" for name, value in options.items())]


def peer_environment(environment: dict[str, str]) -> dict[str, str]:
    """Its environment: one of its libraries would ask the package index for a newer version at every start."""
    return {**environment, "NO_ALBUMENTATIONS_UPDATE": "1"}

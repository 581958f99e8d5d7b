"""The image of Dataflow's jobs, as far as it can be checked without building it."""

from __future__ import annotations

import ast
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from support.recap_runs import ROOT

FOLDER = ROOT / "dockerfiles"
DOCKERFILE = FOLDER / "Dockerfile"
LOCK = FOLDER / "requirements.lock"
# Installed by an extra or by hand, and imported only where they are used.
OPTIONAL = {"duckdb", "faiss", "sentencepiece", "sklearn", "threadpoolctl", "vllm"}
BEAM = "2.77.0"
PYTHON = "3.11"


def _instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def _arguments() -> dict[str, str]:
    """Build arguments and their defaults."""
    return dict(value.split("=", 1) for word, value in _instructions() if word == "ARG")


def _filled(text: str) -> str:
    for name, value in _arguments().items():
        text = text.replace(f"${{{name}}}", value)
    return text


def _copied_from_context() -> list[str]:
    copies = [_filled(value) for word, value in _instructions() if word == "COPY" and not value.startswith("--from")]
    return [source for copy in copies for source in copy.split()[:-1]]


def _is_ignored(path: str) -> bool:
    """By .dockerignore: the last line that matches the path or a folder above it decides."""
    places = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not line.startswith("#"):
            names = [pattern, pattern.removeprefix("**/")]
            if any(fnmatch.fnmatch(place, name) for place in places for name in names):
                ignored = not line.startswith("!")
    return ignored


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE))


def _tool(name: str) -> str:
    """A program of this environment."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _run(*command: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_the_linter_has_nothing_to_say() -> None:
    done = _run(_tool("hadolint"), "--no-color", str(DOCKERFILE))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_base_image_is_pinned() -> None:
    stages: set[str] = set()
    bases = [value.split() for word, value in _instructions() if word == "FROM"]
    for base, *name in bases:
        base = _filled(base)
        if base not in stages:
            assert re.search(r":[A-Za-z0-9_.-]*\d", base), base
            assert not base.endswith(":latest")
        stages.update(name[1:])
    assert {"weights-none", "weights-baked"} <= stages
    for word, value in _instructions():
        if word == "COPY" and value.startswith("--from="):
            assert value.split()[0].removeprefix("--from=") in stages


def _guides() -> str:
    return "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))


def test_one_version_of_beam() -> None:
    setup = (ROOT / "setup.py").read_text()
    assert re.findall(r"apache-beam\[gcp\]==([\d.]+)", setup) == [BEAM]
    assert _pins(LOCK)["apache-beam"] == _pins(ROOT / "requirements.lock")["apache-beam"] == BEAM
    assert re.findall(r"apache/beam_python[\d.]+_sdk:([\d.]+)", DOCKERFILE.read_text()) == [BEAM]
    written = re.findall(r"Beam (\d+\.\d+(?:\.\d+)?)", _guides() + json.dumps(_metadata()))
    assert all(f"{BEAM}.".startswith(f"{version}.") for version in written)


def test_one_version_of_python() -> None:
    text = DOCKERFILE.read_text()
    exact = {value.split("=")[1] for word, value in _instructions() if word == "ARG" and value.startswith("PYTHON_VER")}
    assert len(exact) == 1
    assert min(exact).startswith(f"{PYTHON}.")
    assert set(re.findall(r"beam_python([\d.]+)_sdk", text)) == {PYTHON}
    assert set(re.findall(r"/python(\d)(\d+)-template-launcher-base", text)) == {tuple(PYTHON.split("."))}
    assert set(re.findall(r"lib/python([\d.]+)/", text)) == {PYTHON}
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"python-version ([\d.]+)|python([\d.]+)", makefile)) == {(PYTHON, ""), ("", PYTHON)}
    assert f'python_requires=">={PYTHON}"' in (ROOT / "setup.py").read_text()
    assert set(re.findall(r"Python (\d+\.\d+)", _guides())) == {PYTHON}
    assert sys.version_info[:2] == tuple(map(int, PYTHON.split(".")))


def test_uv_is_the_makefiles_and_knows_the_python() -> None:
    wanted = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert re.findall(r"astral-sh/uv:(\S+)", DOCKERFILE.read_text()) == [wanted]
    uv = _tool("uv")
    if wanted not in _run(uv, "--version").stdout:
        pytest.skip("another uv is installed")
    known = _run(uv, "python", "list", "--offline", "--only-downloads", "--all-versions", PYTHON).stdout
    assert f"cpython-{_arguments()['PYTHON_VERSION']}-linux-x86_64-gnu " in known


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    sources = _copied_from_context()
    assert {"setup.py", "beam_recap", "dockerfiles/requirements.lock", "models"} <= set(sources)
    for source in sources:
        assert not _is_ignored(source), source
        assert source == "models" or (ROOT / source).exists(), source  # the user's


@pytest.mark.parametrize(
    "path",
    ["tests/conftest.py", ".git/config", ".venv/bin/python", "README.md", "beam-recap-demo/summary.json",
     "beam_recap/__pycache__/flag.cpython-311.pyc", "requirements.lock", "dockerfiles/Dockerfile"],
)  # fmt: skip
def test_the_context_is_small(path: str) -> None:
    assert _is_ignored(path)


def test_every_package_of_ours_is_copied() -> None:
    setup = ast.parse((ROOT / "setup.py").read_text())
    (packages,) = [
        k.value for node in ast.walk(setup) if isinstance(node, ast.Call) for k in node.keywords if k.arg == "packages"
    ]
    tops = {name.split(".")[0] for name in ast.literal_eval(packages)}
    assert tops <= set(_copied_from_context())


def test_the_lock_is_the_full_locks_part_that_runs_need() -> None:
    pins, full = _pins(LOCK), _pins(ROOT / "requirements.lock")
    assert pins.items() <= full.items(), "run `make image-lock`"
    assert not {"pytest", "ruff", "hypothesis", "datasets"} & set(pins)
    setup = ast.parse((ROOT / "setup.py").read_text())
    (requirements,) = [
        k.value
        for node in ast.walk(setup)
        if isinstance(node, ast.Call)
        for k in node.keywords
        if k.arg == "install_requires"
    ]
    for requirement in ast.literal_eval(requirements):
        name = re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-")
        assert name in pins, f"{name}: run `make image-lock`"


def test_every_locked_file_has_a_digest_and_none_an_address() -> None:
    text = LOCK.read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(_pins(LOCK))
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9._-]+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry), entry.split()[0]


def test_everything_that_is_imported_is_in_the_image() -> None:
    ours = {"beam_recap", "pipelines", "transforms"}
    found: set[str] = set()
    for top in ours:
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add(node.module.split(".")[0])
    packages, pins = packages_distributions(), _pins(LOCK)
    missing = {
        name
        for name in found - ours - OPTIONAL - sys.stdlib_module_names
        if not {package.lower().replace("_", "-") for package in packages.get(name, [])} & set(pins)
    }
    assert not missing, "is imported, but neither in setup.py nor in the image's lock"


def test_what_the_build_imports_is_there() -> None:
    """It imports it to see that every library of the system that wheels link to is there."""
    (line,) = [
        value for word, value in _instructions() if word == "RUN" and "import " in value and "pip check" in value
    ]
    names = re.search(r'python -c "import ([^"]+)"', line)[1].replace(" ", "").split(",")
    assert {"torch", "cv2", "pycurl", "transformers"} <= set(names)
    for name in names:
        assert importlib.util.find_spec(name) is not None, name


def test_packages_of_this_environment_agree() -> None:
    check = [sys.executable, "-m", "pip", "check"]
    if importlib.util.find_spec("pip") is None:
        check = [_tool("uv"), "pip", "check", "--python", sys.executable]
    done = _run(*check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_resolves_with_its_digests(tmp_path: Path) -> None:
    done = _run(
        _tool("uv"), "pip", "install", "--dry-run", "--no-progress", "--require-hashes", "--python", sys.executable,
        "--target", str(tmp_path), "--requirements", str(LOCK),
    )  # fmt: skip
    if re.search(r"error sending request|dns error|operation timed out|offline", done.stderr, re.IGNORECASE):
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr
    assert f"apache-beam=={BEAM}" in done.stderr


def _launch(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs the script as the launcher does: elsewhere, with the packages installed."""
    script = shutil.copy(FOLDER / "flex_main.py", folder / "main.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "NO_GCE_CHECK": "true"}
    return _run(sys.executable, str(script), *flags, cwd=folder, env=environment)


def test_the_launcher_script_gives_help_and_refuses(tmp_path: Path) -> None:
    helped = _launch(tmp_path, "--help")
    assert helped.returncode == 0
    assert "--input VALUE" in helped.stdout
    refused = _launch(tmp_path, "--min_clip_score=30")
    assert refused.returncode == 2
    assert (
        refused.stderr.strip().splitlines()[-1].startswith("python -m pipelines.recap: --min_clip_score=30: is out of")
    )


def test_the_image_starts_as_beam_and_flex_expect() -> None:
    words = _instructions()
    assert words[-1] == ("ENTRYPOINT", '["/opt/apache/beam/boot"]')
    settings = " ".join(value for word, value in words if word == "ENV")
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py" in settings
    assert ("WORKDIR", "/template") in words
    assert ("COPY", "dockerfiles/flex_main.py main.py") in words
    copied = {value.split()[-1] for word, value in words if word == "COPY" and value.startswith("--from")}
    assert {"/opt/apache/beam", "/opt/google/dataflow/python_template_launcher"} <= copied


def test_cloud_build_gives_arguments_that_the_dockerfile_has() -> None:
    build = yaml.safe_load((FOLDER / "cloudbuild.yaml").read_text())
    arguments = [
        word.removeprefix("--build-arg=").split("=")[0] for word in build["steps"][0]["args"] if "build-arg" in word
    ]
    assert arguments
    assert set(arguments) <= set(_arguments())
    assert f"--file={DOCKERFILE.relative_to(ROOT)}" in build["steps"][0]["args"]


def _metadata() -> dict[str, object]:
    return json.loads((FOLDER / "recap.metadata.json").read_text())

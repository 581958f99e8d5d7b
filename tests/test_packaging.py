"""The package holds what workers need: every package of ours, the models, and no tests."""

from __future__ import annotations

import ast
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.recap_runs import ROOT

from beam_recap.audit import options as audit_options
from beam_recap.clusters import settings as cluster_settings
from beam_recap.compare import settings as compare_settings
from beam_recap.config import RecapConfig
from beam_recap.options import parse_options
from beam_recap.plan import options as plan_options
from beam_recap.publish import settings as publish_settings
from docs.examples import keep_sharp_pictures

_PARSERS = {
    "pipelines.recap": parse_options,
    "pipelines.cluster": cluster_settings.parse_flags,
    "pipelines.audit": audit_options.parse_options,
    "pipelines.plan": plan_options.parse_options,
    "pipelines.compare": compare_settings.parse_flags,
    "pipelines.publish": publish_settings.parse_flags,
    "docs.examples.keep_sharp_pictures": keep_sharp_pictures.parse_flags,
    "pytest": list,
}
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_SHELL = {"find", "tar", "ls"}  # of which examples make inputs


def _setup_arguments() -> dict[str, object]:
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.Call)]
    call = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "setup")
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg != "version"}


def test_every_package_is_listed():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("beam_recap", "pipelines", "transforms")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(_setup_arguments()["packages"]) == found


def test_pins_agree_with_setup():
    pinned = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
    for requirement in _setup_arguments()["install_requires"]:
        name = requirement.replace("[gcp]", "").replace("_", "-")
        for separator in ("==", ">=", "<", "!"):
            name = name.split(separator)[0]
        assert name in pinned
        if "==" in requirement:
            assert pinned[name] == requirement.split("==")[1]
    assert pinned["torch"] != "2.13.0"


def test_source_distribution_as_dataflow_builds_it(tmp_path):
    names = ["setup.py", "pyproject.toml", "README.md", "beam_recap", "pipelines", "transforms", "tests"]
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist"], cwd=tmp_path, check=True, capture_output=True
    )
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = {str(Path(*Path(name).parts[1:])) for name in tar.getnames()}
    assert {
        "beam_recap/demo/models/llava/model.safetensors",
        "beam_recap/demo/models/clip/open_clip_model.safetensors",
        "beam_recap/demo/models/aesthetic.safetensors",
        "beam_recap/demo/shard/demo-00000.tar",
        "beam_recap/audit/page.html",
        "beam_recap/compare/page.html",
        "beam_recap/plan/prices.yaml",
        "beam_recap/report/page.html",
        "beam_recap/report/style.html",
        "transforms/read_shards.py",
        "pipelines/recap.py",
    } <= inside
    assert not [name for name in inside if name.startswith("tests/support")]


def _commands(page: Path) -> list[str]:
    blocks = [block.split("```")[0] for block in page.read_text().split("```sh\n")[1:]]
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_are_known(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in _commands(page):
        words = shlex.split(command)
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        elif words[0] == ".venv/bin/python":
            assert words[1] == "-m"
            _PARSERS[words[2]](words[3:])
        else:
            assert words[0] in _SHELL, command


def test_the_readme_begins_with_the_two_commands() -> None:
    assert _commands(ROOT / "README.md")[:2] == ["make recap", "make test"]
    assert RecapConfig.from_flags({}).preset == "recap-debiased"


def test_ci_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()

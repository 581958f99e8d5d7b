"""Layers import downwards only, and nothing heavy is loaded before it is used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    str(path.relative_to(ROOT))
    for layer in ("beam_recap", "transforms", "pipelines")
    for path in (ROOT / layer).rglob("*.py")
)
MODEL_LIBRARIES = {"torch", "torchvision", "transformers", "open_clip"}
# Modules that nothing imports at start-up: the engines, and the demonstration's training.
MAY_LOAD_MODEL_LIBRARIES = (
    "beam_recap/models/",
    "beam_recap/demo/train.py",
    "beam_recap/demo/training.py",
    "beam_recap/demo/tiny_models.py",
    "beam_recap/demo/fit_aesthetic.py",
    "transforms/llava_model_handler.py",
)
HEAVY = [*sorted(MODEL_LIBRARIES), "apache_beam.ml.inference", "onnxruntime", "cv2", "rapidocr"]


def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(), module)


def imported(statements: Iterator[ast.AST] | list[ast.stmt], module: str) -> Iterator[str]:
    """Full names of what import statements import."""
    package = module.removesuffix(".py").split("/")[:-1]
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*above, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def run_at_import(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: not the bodies of functions, nor what only type checkers see."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from run_at_import(node.orelse)
            continue
        yield node
        for block in ("body", "orelse", "finalbody"):
            yield from run_at_import(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from run_at_import(handler.body)


def test_there_are_modules_of_every_layer() -> None:
    assert {module.split("/")[0] for module in MODULES} == {"beam_recap", "transforms", "pipelines"}
    assert {"beam_recap/records.py", "transforms/read_shards.py", "pipelines/recap.py"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_layers_import_downwards_only(module: str) -> None:
    above = {"beam_recap": {"transforms", "pipelines"}, "transforms": {"pipelines"}, "pipelines": set()}
    tops = {name.split(".")[0] for name in imported(ast.walk(tree(module)), module)}
    assert not tops & (above[module.split("/")[0]] | {"tests", "support"})


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith(MAY_LOAD_MODEL_LIBRARIES)])
def test_model_libraries_are_imported_by_engines_only(module: str) -> None:
    tops = {name.split(".")[0] for name in imported(list(run_at_import(tree(module).body)), module)}
    assert not tops & MODEL_LIBRARIES


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(("pipelines/", "beam_recap/"))])
def test_only_transforms_define_transforms(module: str) -> None:
    """Pipelines assemble them, and the domain knows nothing of them."""
    bases = {
        ast.unparse(base).split(".")[-1]
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    assert not {base for base in bases if base.endswith(("DoFn", "PTransform", "CombineFn", "ModelHandler"))}


def test_modules_import_no_circle() -> None:
    """Whatever a module takes from another, also inside functions, never leads back to it."""
    names = {module.removesuffix(".py").removesuffix("/__init__").replace("/", "."): module for module in MODULES}
    uses = {
        name: {other for other in imported(list(ast.walk(tree(module))), module) if other in names and other != name}
        for name, module in names.items()
    }
    packages = {name for name, module in names.items() if module.endswith("__init__.py")}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in uses[name] - packages:
                visit(other, (*path, name))
            done.add(name)

    for name in names:
        visit(name, ())


# One process for all: starting Python and Beam is what takes the time.
START = """
import json, sys
from pipelines.recap import main
told = []
for argv in json.loads(sys.argv[1]):
    status = main(argv)
    told.append([status, [name for name in json.loads(sys.argv[2]) if name in sys.modules]])
print(json.dumps(told))
"""
REFUSED = [
    ["--min_clip_score=30"],
    ["--no_such_flag=1"],
    ["--direct_num_workers=two"],
    ["--input=/no/such/file.parquet", "--output=/no/such/output"],
]


def test_help_and_refusals_load_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, json.dumps([["--help"], *REFUSED]), json.dumps(HEAVY)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *help_text, told = done.stdout.splitlines()
    assert json.loads(told) == [[0, []], *([2, []] for _ in REFUSED)]
    assert help_text[0].startswith("usage: python -m pipelines.recap")
    sentences = done.stderr.strip().splitlines()
    assert len(sentences) == len(REFUSED), done.stderr
    for argv, sentence in zip(REFUSED, sentences, strict=True):
        assert argv[0] in sentence
    assert list(tmp_path.iterdir()) == []

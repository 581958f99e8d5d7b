"""What a config asks for, what the graph has, and what the report names are the same stages."""

from __future__ import annotations

from pathlib import Path

from beam_recap.config import RecapConfig
from beam_recap.model_refs import ModelRefs
from beam_recap.records import Stage
from beam_recap.report.facts import RunFacts
from pipelines.recap_stages import stages_of

# A run in which every stage has something to do.
EVERYTHING = {"more_clip_models": "demo", "max_same_caption": "100"}


def _labels(tmp_path: Path, **flags: str) -> tuple[list[str], list[str], set[str]]:
    """Of the graph's stages, of the report's, and the values of the latter."""
    config = RecapConfig.from_flags({"output": str(tmp_path / "out"), **flags})
    refs = ModelRefs.of(config)
    named = RunFacts.of(config, refs.provenance, 1).stages
    others = {"ReadShards", "Curate"}  # which `build_pipeline` adds
    return (
        [label for label, _ in stages_of(config, refs)],
        [label for label, _ in named if label not in others],
        {stage for _, stage in named},
    )


def test_a_run_of_everything_has_every_stage(tmp_path: Path) -> None:
    graph, report, stages = _labels(tmp_path, **EVERYTHING)
    assert graph == report
    assert stages == set(map(str, Stage))


def test_filters_stand_in_their_order_in_the_graph_and_in_the_report(tmp_path: Path) -> None:
    default = RecapConfig.from_flags({"output": str(tmp_path / "out")}).filter_order
    other = ",".join(["ocr", *(name for name in default if name != "ocr")])
    graph, report, _ = _labels(tmp_path, filter_order=other, **EVERYTHING)
    assert graph == report
    assert graph.index("OCRFilter") < graph.index("ScoreCLIP")


def test_without_models_only_fetching_is_left(tmp_path: Path) -> None:
    graph, report, _ = _labels(tmp_path, preset="recap", clip_model="none", captioner="none")
    assert graph == report == ["FetchImage"]

"""The graph: what is fused, what crosses a shuffle, and with which coder."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_recap.config import RecapConfig
from beam_recap.progress.phases import _STEPS, phase_of
from pipelines.recap import build_pipeline

STAGES = ("FetchImage", "ScoreCLIP", "AestheticFilter", "OCRFilter", "CaptionImage", "RescoreCaption")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    config = RecapConfig.from_flags({"output": str(tmp_path_factory.mktemp("graph") / "out")})
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build_pipeline(pipeline, config)
    return pipeline


def test_reading_to_checkpoint_is_one_fused_stage(pipeline):
    """Then pixels stay in memory, and outcomes are written while rows are still read."""
    _, stages = FnApiRunner().create_stages(pipeline.to_runner_api())
    (fused,) = (stage for stage in stages if "Checkpoint/WriteKept" in _names(stage))
    names = _names(fused)
    assert "ReadShards/ReadUnits/ParDo(_ReadUnitFn)" in names
    for label in STAGES:
        assert f"{label}/Outcomes/Part/ParDo(_SplitFn)" in names
    writers = [f"Checkpoint/WriteRejectedBy{label}" for label in ("Read", *STAGES)]
    assert {"Checkpoint/WriteKept", *writers} <= names


def test_rows_have_their_own_coders(pipeline):
    proto = pipeline.to_runner_api()
    transforms = {t.unique_name: t for t in proto.components.transforms.values()}
    for label in STAGES:
        outputs = transforms[f"{label}/Outcomes"].outputs
        assert "SampleCoder" in _coder(proto, outputs["kept"])
        assert "RejectionCoder" in _coder(proto, outputs["rejected"])


def test_every_step_is_labelled(pipeline):
    ours = ("ReadShards", "Checkpoint", "Curate", "WriteParquet", "WriteSummary", *STAGES)
    names = [t.unique_name.split("/") for t in pipeline.to_runner_api().components.transforms.values() if t.unique_name]
    seconds = {tuple(name[:2]) for name in names if name[0] in ours and len(name) > 1}
    assert {name[0] for name in names if "AppliedPTransform" not in name[0]} == set(ours)
    assert len(seconds) > 30
    assert not [label for _, label in seconds if "lambda" in label or "(" in label]


def test_hosts_are_ranked_by_key_and_never_gathered(pipeline):
    """There may be a hundred million of them."""
    proto = pipeline.to_runner_api()
    transforms = {t.unique_name: t for t in proto.components.transforms.values()}
    ranking = "WriteSummary/RankHosts"
    assert {f"{ranking}/SumPerHost", f"{ranking}/Rank"} <= set(transforms)
    assert transforms[f"{ranking}/SumPerHost"].spec.urn == "beam:transform:combine_per_key:v1"
    (hosts,) = transforms[f"{ranking}/SumPerHost"].inputs.values()
    (assembled,) = (t for t in transforms.values() if t.unique_name.startswith("WriteParquet/Assemble/ParDo"))
    assert hosts in assembled.outputs.values()
    gathered = transforms["WriteSummary/Wait"].inputs.values()
    (keyed,) = transforms["WriteSummary/Key"].outputs.values()
    assert list(gathered) == [keyed]
    assert "StrUtf8Coder" in _coder(proto, hosts) or "beam:coder:kv:v1" in _coder(proto, hosts)


def test_tallies_are_added_up_before_they_are_gathered(pipeline):
    proto = pipeline.to_runner_api()
    transforms = {t.unique_name: t for t in proto.components.transforms.values()}
    for label in ("SumThousands", "SumAll/CombinePerKey"):
        assert transforms[f"WriteSummary/SumTallies/{label}"].spec.urn == "beam:transform:combine_per_key:v1"


def test_the_graph_is_small(pipeline):
    """Dataflow refuses jobs above 10 MB."""
    assert len(pipeline.to_runner_api().SerializeToString()) < 500_000


def test_progress_knows_the_phases_by_their_steps(pipeline):
    names = [step.unique_name for step in pipeline.to_runner_api().components.transforms.values()]
    assert [start for start, _ in _STEPS if not any(name.startswith(start) for name in names)] == []
    assert phase_of(["ReadShards/PlanUnits"]) is None


def test_off_stages_are_not_in_the_graph(tmp_path):
    flags = {"input": "x.parquet", "output": str(tmp_path / "out"), "preset": "text-debiased", "ocr": "none"}
    pipeline = beam.Pipeline(runner="FnApiRunner")
    outputs = build_pipeline(pipeline, RecapConfig.from_flags(flags))
    assert list(outputs.rejected) == ["Read", "FetchImage", "ScoreCLIP", "AestheticFilter"]


def _names(stage):
    return {transform.unique_name for transform in stage.transforms}


def _coder(proto, pcollection):
    coder = proto.components.coders[proto.components.pcollections[pcollection].coder_id]
    return str(coder.spec.payload) + coder.spec.urn

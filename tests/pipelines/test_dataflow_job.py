"""The job that would be submitted to Dataflow, written down by Beam's own runner without asking anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from support.shards import write_parquet

from pipelines.recap import main

IMAGE = "us-docker.pkg.dev/project/images/beam-recap:1"
L4 = "type:nvidia-l4;count:1;install-nvidia-driver"
RESHUFFLES = {
    "ReadShards/SpreadShards",
    "ReadShards/SpreadUnits",
    "Curate/SpreadUnits",
    "WriteParquet/SpreadOutputShards",
}


class Job(NamedTuple):
    """What was written down: the job's JSON, the graph, and the names of the staged files."""

    environment: dict[str, Any]
    graph: beam_runner_api_pb2.Pipeline
    staged: set[str]

    @property
    def pool(self) -> dict[str, Any]:
        (pool,) = self.environment["workerPools"]
        return pool

    def hints(self) -> dict[str, dict[str, str]]:
        """Resource hints of each step that runs code, by its full name."""
        environments = self.graph.components.environments
        return {
            step.unique_name: {
                urn.split(":")[-2]: hint.decode()
                for urn, hint in environments[step.environment_id].resource_hints.items()
            }
            for step in self.graph.components.transforms.values()
            if step.environment_id and not step.subtransforms
        }

    def reshuffles(self) -> set[str]:
        urn = "beam:transform:reshuffle:v1"
        return {step.unique_name for step in self.graph.components.transforms.values() if step.spec.urn == urn}


def flags(folder: Path, *more: str) -> list[str]:
    return [
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=us-central1",
        "--job_name=recap",
        "--dataflow_endpoint=http://localhost:1",
        "--no_auth",
        f"--template_location={folder}/job.json",
        f"--temp_location={folder}/temp",
        f"--staging_location={folder}/staging",
        f"--input={folder}/in.parquet",
        f"--output={folder}/out",
        "--preset=recap-debiased",
        "--max_num_workers=20",
        *more,
    ]


def write_job(folder: Path, *more: str) -> Job:
    write_parquet(folder / "in.parquet", {"url": ["http://example.org/a.jpg"], "text": ["a"]})
    assert main(flags(folder, *more)) == 0
    graph = beam_runner_api_pb2.Pipeline()
    graph.ParseFromString((folder / "staging" / "pipeline.pb").read_bytes())
    staged = {path.name for path in (folder / "staging").iterdir()}
    return Job(json.loads((folder / "job.json").read_text())["environment"], graph, staged)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    return {
        pools: write_job(
            tmp_path_factory.mktemp(pools),
            f"--sdk_container_image={IMAGE}",
            "--gpu_accelerator=l4",
            f"--worker_pools={pools}",
        )
        for pools in ("fused", "split")
    }


def test_fused(jobs: dict[str, Job]) -> None:
    job = jobs["fused"]
    assert job.pool["machineType"] == "g2-standard-12"
    assert job.environment["serviceOptions"] == [f"worker_accelerator={L4}"]
    assert not any(job.hints().values())
    assert job.reshuffles() == RESHUFFLES


def test_split(jobs: dict[str, Job]) -> None:
    job = jobs["split"]
    assert "machineType" not in job.pool  # the first pool's is Dataflow's choice
    assert "serviceOptions" not in job.environment
    # Pictures cross once.
    assert job.reshuffles() == {*RESHUFFLES, "SpreadRows/Spread"}
    accelerator = "type:nvidia-l4;count:1;machine_type:g2-standard-12;install-nvidia-driver"
    on_gpu = {name for name, hints in job.hints().items() if hints}
    assert {tuple(hints.items()) for hints in job.hints().values()} == {(), (("accelerator", accelerator),)}
    parts = {name.split("/")[0] for name in on_gpu}
    assert parts == {"SpreadRows", "CaptionImage", "RescoreCaption", "Checkpoint"}
    for name in job.hints():
        if name.split("/")[0] in {"CaptionImage", "RescoreCaption", "Checkpoint"}:
            assert name in on_gpu
    assert {name for name in on_gpu if name.startswith("SpreadRows")} == {"SpreadRows/Decode"}


def test_what_both_have(jobs: dict[str, Job]) -> None:
    for pools, job in jobs.items():
        images = [image["containerImage"] for image in job.pool["sdkHarnessContainerImages"]]
        assert images == [IMAGE] * {"fused": 1, "split": 2}[pools]
        assert job.pool["autoscalingSettings"] == {"maxNumWorkers": 20}
        assert job.pool["diskSizeGb"] == 100
        assert job.pool["numThreadsPerWorker"] == 1
        assert {"use_runner_v2", "beam_fn_api"} <= set(job.environment["experiments"])
        # A process for each core, which share the captioner.
        assert "no_use_multiple_sdk_containers" not in job.environment["experiments"]
        assert job.environment["userAgent"] == {"name": "Apache Beam Python 3.11 SDK", "version": "2.77.0"}
        # All code is in the image.
        assert job.staged <= {"pipeline.pb", "submission_environment_dependencies.txt"}
        # Dataflow refuses jobs above 10 MB.
        assert job.graph.ByteSize() < 500_000
        top = {step.unique_name for step in job.graph.components.transforms.values()}
        for label in ("ReadShards", "FetchImage", "ScoreCLIP", "OCRFilter", "CaptionImage", "Curate", "WriteParquet"):
            assert label in top


@pytest.mark.parametrize("pools", ["fused", "split"])
def test_nothing_stands_between_rows_and_checkpoint(jobs: dict[str, Job], pools: str) -> None:
    """What Beam fuses where Dataflow would: with all outcomes of a pool's rows goes their writer."""
    _, stages = FnApiRunner().create_stages(jobs[pools].graph)
    names = [{step.unique_name for step in stage.transforms} for stage in stages]
    (last,) = (stage for stage in names if "Checkpoint/WriteKept" in stage)
    (first,) = (stage for stage in names if "FetchImage/Fetch" in stage)
    assert "CaptionImage/Outcomes/Part/ParDo(_SplitFn)" in last
    assert "ReadShards/ReadUnits/ParDo(_ReadUnitFn)" in first
    assert "OCRFilter/Outcomes/Part/ParDo(_SplitFn)" in first
    if pools == "fused":
        assert first == last
    else:
        assert {"CheckpointFiltered/WriteRejectedByFetchImage", "SpreadRows/Shrink"} <= first
        assert "SpreadRows/Decode" in last


def test_without_an_image_the_package_is_staged(tmp_path: Path) -> None:
    import tarfile

    root = Path(__file__).parents[2]
    job = write_job(
        tmp_path, f"--setup_file={root}/setup.py", "--captioner=none", "--clip_model=none", "--preset=recap"
    )
    assert "workflow.tar.gz" in job.staged
    with tarfile.open(tmp_path / "staging" / "workflow.tar.gz") as archive:
        folders = {"/".join(name.split("/")[1:2]) for name in archive.getnames()}
    assert {"beam_recap", "transforms", "pipelines"} <= folders
    assert "tests" not in folders


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--gpu_accelerator=nonsense"], "--gpu_accelerator=nonsense: is no accelerator"),
        (["--gpu_accelerator=l4", "--machine_type=n1-standard-8"], "--machine_type=n1-standard-8: has no nvidia-l4"),
        (
            ["--dataflow_service_options=worker_accelerator=type:nvidia-l5;count:1;install-nvidia-driver"],
            "names a GPU that Dataflow does not have",
        ),
        (
            [f"--dataflow_service_options=worker_accelerator={L4}", "--machine_type=a2-highgpu-1g"],
            "--machine_type=a2-highgpu-1g: has no nvidia-l4",
        ),
        (
            [f"--dataflow_service_options=worker_accelerator={L4}", "--gpu_accelerator=l4"],
            "is a second accelerator beside --dataflow_service_options",
        ),
        (
            [f"--dataflow_service_options=worker_accelerator={L4}", "--worker_pools=split"],
            "gives every worker a GPU, and --worker_pools=split only some",
        ),
        (["--worker_pools=split"], "--worker_pools=split: needs to know the second pool's GPUs"),
        (["--worker_pools=split", "--captioner=none"], "--worker_pools=split: is for captions"),
        (
            ["--gpu_accelerator=type:nvidia-l4;count:2;install-nvidia-driver"],
            "--machine_type=none: is needed beside --gpu_accelerator",
        ),
        (
            [f"--sdk_container_image={IMAGE}", "--setup_file=./setup.py"],
            "--setup_file=./setup.py: would be installed over",
        ),
        (["--dataflow_endpoint=https://dataflow.example"], "is of this machine, which Dataflow's workers do not see"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, given: list[str], problem: str
) -> None:
    write_parquet(tmp_path / "in.parquet", {"url": ["http://example.org/a.jpg"], "text": ["a"]})
    assert main(flags(tmp_path, *given)) == 2
    assert problem in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) in (["in.parquet"], ["in.parquet", "staging", "temp"])

"""The Flex Template declares every flag, as the flag itself is."""

from __future__ import annotations

import json
import re

import pytest
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, WorkerOptions
from google.cloud import dataflow_v1beta3
from support.recap_runs import ROOT

from beam_recap.config import RecapConfig
from beam_recap.flag import PRESET_VALUE
from beam_recap.flags import FLAGS
from beam_recap.flex_template import BEAM_OPTIONS, template_metadata
from beam_recap.options import parse_options

COMMITTED = ROOT / "dockerfiles" / "recap.metadata.json"
METADATA = template_metadata()
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
PLACES = ["--input=gs://bucket/shards/*.parquet", "--output=gs://bucket/dataset"]
# As the launcher hands them on. Source: its log in GoogleCloudPlatform/python-docs-samples, issue 4307.
LAUNCHER = [
    "--job_name=recap",
    "--region=us-central1",
    "--service_account_email=1-compute@developer.gserviceaccount.com",
    "--runner=DataflowRunner",
    "--project=my-project",
    "--template_location=gs://bucket/staging/template_launches/2026-11-21_00_00_00-1/job_object",
    "--temp_location=gs://bucket/temp/",
    "--staging_location=gs://bucket/staging/",
    "--num_workers=1",
    "--max_num_workers=20",
    "--machine_type=g2-standard-12",
    "--experiments=upload_graph",
    "--labels=goog-dataflow-provided-template-type=flex",
]
BEAM_VALUES = {
    "sdk_container_image": ["us-docker.pkg.dev/my-project/images/beam-recap:0.1", f"gcr.io/p/r@sha256:{'0' * 64}"],
    "disk_size_gb": ["100"],
    "worker_disk_type": ["compute.googleapis.com/projects//zones//diskTypes/pd-ssd"],
    "number_of_worker_harness_threads": ["4"],
    "autoscaling_algorithm": ["THROUGHPUT_BASED", "NONE"],
    "default_sdk_harness_log_level": ["DEBUG", "INFO", "WARNING"],
    "dataflow_service_options": ["worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver,enable_prime"],
    "experiments": ["no_use_multiple_sdk_containers", "a=1,b"],
}


def _passes(name: str, value: str) -> bool:
    return all(re.search(regex, value, re.ASCII) for regex in PARAMETERS[name]["regexes"])


def test_the_committed_file_is_what_the_flags_say() -> None:
    assert json.loads(COMMITTED.read_text()) == METADATA, "run `make template`"


def test_dataflow_knows_every_key_and_type() -> None:
    message = dataflow_v1beta3.TemplateMetadata.from_json(COMMITTED.read_text(), ignore_unknown_fields=False)
    assert [parameter.name for parameter in message.parameters] == list(PARAMETERS)
    for parameter in message.parameters:
        assert parameter.param_type != dataflow_v1beta3.ParameterType.DEFAULT
        assert parameter.label
        assert parameter.help_text
        assert parameter.regexes


def test_every_flag_is_a_parameter() -> None:
    names = [flag.name for flag in FLAGS]
    assert list(PARAMETERS) == [*names, *(option.name for option in BEAM_OPTIONS)]
    for flag in FLAGS:
        parameter = PARAMETERS[flag.name]
        assert parameter["helpText"].startswith(flag.help)
        if flag.default not in (None, PRESET_VALUE):
            assert parameter["defaultValue"] == flag.default
    assert {name for name, parameter in PARAMETERS.items() if not parameter["isOptional"]} == {
        "input",
        "output",
        "sdk_container_image",
    }


@pytest.mark.parametrize("name", [name for name, parameter in PARAMETERS.items() if "defaultValue" in parameter])
def test_defaults_pass_their_own_check(name: str) -> None:
    parameter = PARAMETERS[name]
    assert _passes(name, parameter["defaultValue"])
    if parameter["paramType"] == "ENUM":
        values = [option["value"] for option in parameter["enumOptions"]]
        assert parameter["defaultValue"] in values
        assert all(_passes(name, value) for value in values)


def test_what_a_form_would_fill_in_by_itself_is_never_passed_on() -> None:
    """The console gives a boolean without a default the value false: that must not override a preset."""
    for parameter in PARAMETERS.values():
        assert ("defaultValue" in parameter) or parameter["paramType"] in ("TEXT", "GCS_WRITE_FOLDER")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--preset=text-debiased"],
        ["--preset=recap-debiased", "--min_clip_score=0.28"],
        ["--gpu_accelerator=l4"],
        ["--caption_endpoint=http://localhost:8000/v1", "--caption_endpoint_model=m"],
    ],
    ids=lambda flags: " ".join(flags) or "none",
)
def test_defaults_that_a_form_fills_in_change_nothing(flags: list[str]) -> None:
    defaults = [f"--{name}={found['defaultValue']}" for name, found in PARAMETERS.items() if "defaultValue" in found]
    alone = parse_options([*PLACES, *flags]).config()
    assert parse_options([*PLACES, *defaults, *flags]).config() == alone


@pytest.mark.parametrize(
    "flag", [flag for flag in FLAGS if flag.default not in (None, PRESET_VALUE)], ids=lambda f: f.name
)
def test_every_flag_arrives_as_flex_passes_it(flag) -> None:
    options = parse_options([*LAUNCHER, *PLACES, f"--{flag.name}={flag.default}"])
    assert getattr(options, flag.name) == flag.default
    assert isinstance(options.config(), RecapConfig)


@pytest.mark.parametrize("option", BEAM_OPTIONS, ids=lambda option: option.name)
def test_beams_options_arrive_as_flex_passes_them(option) -> None:
    for value in BEAM_VALUES[option.name]:
        assert _passes(option.name, value)
        option.read(value)
        options = parse_options([*PLACES, f"--{option.name}={value}"])
        views = [options.view_as(view) for view in (WorkerOptions, DebugOptions, GoogleCloudOptions)]
        name = "disk_type" if option.name == "worker_disk_type" else option.name
        (found,) = [getattr(view, name) for view in views if name in view._visible_option_list()]
        assert found in (value, int(value) if value.isdigit() else None, value.split(","), [value])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", "shards/*.parquet"),
        ("input", "gs://bucket/a.tar,/tmp/b.tar"),
        ("input", " "),
        ("output", "dataset"),
        ("max_rows", "many"),
        ("extra_columns", "yes"),
        ("preset", "recap-biased"),
        ("min_clip_score", "0,3"),
        ("image_formats", "jpeg;png"),
        ("fetch_ports", "http"),
        ("user_agent_token", "a b"),
        ("sdk_container_image", "beam-recap"),
        ("experiments", "a, b"),
        ("disk_size_gb", "100GB"),
        ("autoscaling_algorithm", "none"),
    ],
)
def test_what_is_clearly_malformed_is_refused_before_the_launch(name: str, value: str) -> None:
    assert not _passes(name, value)


@pytest.mark.parametrize("value", ["gs://b/a.tar", "gs://b/*.tar, gs://c/d/,", ",gs://b/a b.csv"])
def test_input_may_be_a_list_of_buckets(value: str) -> None:
    assert _passes("input", value)
    assert parse_options([f"--input={value}", "--output=gs://b/o"]).config().input

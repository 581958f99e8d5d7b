from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from beam_recap.flag import ConfigError
from beam_recap.flags import FLAGS
from beam_recap.options import RecapOptions, format_help, parse_options


@pytest.mark.parametrize("flag", [flag.name for flag in FLAGS])
def test_every_flag_is_declared_to_beam_as_text(flag: str) -> None:
    options = PipelineOptions([f"--{flag}=7"]).view_as(RecapOptions)
    assert getattr(options, flag) == "7"
    assert getattr(PipelineOptions([]).view_as(RecapOptions), flag) is None


@pytest.mark.parametrize(
    "argv",
    [
        ["--runner=DirectRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        ["--runner", "DirectRunner", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing"],
    ],
    ids=["equals", "space"],
)
def test_beams_own_flags_are_accepted(argv: list[str]) -> None:
    options = parse_options([*argv, "--max_rows=3"])
    direct = options.view_as(DirectOptions)
    assert options.view_as(StandardOptions).runner == "DirectRunner"
    assert (direct.direct_num_workers, direct.direct_running_mode) == (2, "multi_processing")
    assert options.config().max_rows == 3


@pytest.mark.parametrize(
    "argv",
    [
        ["--runner=DataflowRunner", "--project=p", "--region=us-central1", "--temp_location=gs://b/t"],
        ["--experiments=a", "--experiments", "b", "--save_main_session"],
        ["--runner", "FlinkRunner", "--job_name=x", "--labels=a=b"],
        ["--setup_file=./setup.py", "--sdk_container_image=img", "--worker_machine_type", "n1-standard-4"],
    ],
    ids=lambda argv: argv[0],
)
def test_flags_of_other_runners_are_accepted(argv: list[str]) -> None:
    assert parse_options(argv).config().preset == "recap-debiased"


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--max_rows", "5"], "max_rows", 5),
        (["--min_clip_score=-0.1"], "min_clip_score", -0.1),
        (["--min_clip_score", "-0.1"], "min_clip_score", -0.1),
        (["--caption_prompt=a=b --c"], "caption_prompt", "a=b --c"),
        (["--caption_prompt", "What is this?"], "caption_prompt", "What is this?"),
    ],
)
def test_both_ways_of_giving_a_value(argv: list[str], name: str, value: object) -> None:
    assert getattr(parse_options(argv).config(), name) == value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--min_clip_scor=0.3"], "--min_clip_scor=0.3: no such flag; did you mean --min_clip_score?"),
        (["--min_clip=0.3"], "--min_clip=0.3: no such flag; did you mean --min_clip_score?"),
        (["--runer=DirectRunner"], "--runer=DirectRunner: no such flag; did you mean --runner?"),
        (["--zzzzzzzz"], "--zzzzzzzz=: no such flag; see --help"),
        (["-x"], "--x=: no such flag; see --help"),
        (["a.parquet"], "--input=a.parquet: flags look like --name=value; did you mean this?"),
        (["--input=a.parquet", "b.parquet"], "--input=b.parquet: flags look like --name=value; did you mean this?"),
        (["--save_main_session", "true"], "--input=true: flags look like --name=value; did you mean this?"),
        (["--max_rows"], "--max_rows=: has no value; write --flag=value"),
        (["--preset", "--max_rows=3"], "--preset=: has no value; write --flag=value"),
        (["-0.5"], "--input=-0.5: flags look like --name=value; did you mean this?"),
    ],
)
def test_what_nobody_knows_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options(argv)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("argv", "start"),
    [
        (["--direct_num_workers=two"], "--direct_num_workers=two: invalid int value"),
        (["--direct_running_mode=fast"], "--direct_running_mode=fast: invalid choice"),
        (["--streaming=true"], "--streaming=true: ignored explicit argument"),
        (["--runner"], "--runner=: expected one argument"),
    ],
)
def test_a_bad_value_of_beams_own_flags_is_a_sentence_too(
    argv: list[str], start: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Beam itself would print a page of usage and exit, after the run has begun to write."""
    with pytest.raises(ConfigError) as caught:
        parse_options(argv)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_value_that_a_flag_cannot_have_is_refused_by_the_config() -> None:
    with pytest.raises(ConfigError, match=r"^--min_clip_score=30: is out of range"):
        parse_options(["--min_clip_score=30"]).config()


def test_help_names_every_flag_and_its_default() -> None:
    # Wrapped at spaces and at hyphens.
    text = "".join(format_help("prog").split())
    for flag in FLAGS:
        assert f"--{flag.name}VALUE" in text
        if flag.default not in (None, "(preset)"):
            assert "".join(f"Default: {flag.default}".split()) in text
    assert "--runner=DirectRunner" in text

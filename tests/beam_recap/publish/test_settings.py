from __future__ import annotations

import pytest

from beam_recap.flag import ConfigError
from beam_recap.publish.settings import FLAGS, format_help, parse_flags


def test_defaults_are_careful() -> None:
    settings = parse_flags(["/runs/out/", "--repo_id=me/birds"])
    assert (settings.output, settings.repo_id, settings.revision) == ("/runs/out", "me/birds", "main")
    assert settings.private and not settings.overwrite_card and not settings.dry_run
    assert settings.include == () and settings.commit_message is None
    assert parse_flags(["--output=gs://bucket/out", "--repo_id=me/birds"]).output == "gs://bucket/out"
    assert parse_flags(["out", "--repo_id=me/birds", "--include=data,report"]).include == ("data", "report")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--repo_id=me/x"], "--output=: is missing; name the run's output directory"),
        (["out"], "--repo_id=: is missing; write --repo_id=USER/NAME"),
        (["out", "--repo_id=x"], "--repo_id=x: does not say whose it is; write USER/NAME"),
        (["out", "--repo_id=me/a b"], "--repo_id=me/a b: Repo id must use alphanumeric chars"),
        (["out", "other", "--repo_id=me/x"], "--output=other: is given twice, first as out; leave one of them out"),
        (["out", "--repo_id=me/x", "--privat=true"], "--privat=true: no such flag; did you mean --private?"),
        (["out", "--repo_id=me/x", "--token=hf_x"], "--token=hf_x: no such flag; see --help"),
        (["out", "--repo_id=me/x", "--private"], "--private=: has no value; write --flag=value"),
        (["out", "--repo_id=me/x", "--include=rejected"], "--include=rejected: lacks data, which the card is about"),
        (
            ["out", "--repo_id=me/x", "--include=data,checkpoint"],
            "has the unknown part 'checkpoint'; give some of data",
        ),
    ],
)
def test_refusals_name_flag_value_and_remedy(argv: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_flags(argv)
    assert sentence in str(refused.value)


def test_help_names_every_flag_and_where_the_token_comes_from() -> None:
    text = format_help("prog")
    assert all(f"--{flag.name} " in text for flag in FLAGS)
    assert "HF_TOKEN" in text and "--token" not in text

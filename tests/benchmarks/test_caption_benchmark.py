from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import caption
from tests.benchmarks.caption_model import LLAVA_8B, MAX_TOKENS, draw_lengths


@pytest.mark.slow
def test_both_sides_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    details = tmp_path / "details.json"
    caption.main(
        [
            *("--device=cpu", "--shape=tiny", "--images=12", "--batches=4", "--slots=4,5", "--rounds=1", "--fp8"),
            f"--json={details}",
        ]
    )
    _, plain, four, five, _, small, other = json.loads(details.read_text())
    assert [(r["engine"], r["size"]) for r in (plain, four, five)] == [("generate", 4), ("slots", 4), ("slots", 5)]
    assert [(r["engine"], r["size"]) for r in (small, other)] == [("fp8", 4), ("fp8", 5)]
    # In 8 bits, random weights soon go other ways; each caption's own way is the same in any company.
    assert 0 < small["alike_share"] == other["alike_share"] < 1
    assert four["same_share"] == five["same_share"] == 1
    assert all(r["images_per_s"] > 0 and 0 < r["peak_share"] < 1 for r in (plain, four, five))
    assert 0.5 < four["occupancy"] <= 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("caption: generate 4: ") and "slots 4 / generate 4: " in line


def test_lengths_are_those_of_the_paper() -> None:
    lengths = draw_lengths(20_000, 1)
    assert 61 < sum(lengths) / len(lengths) < 63
    assert max(lengths) == MAX_TOKENS and min(lengths) >= 1
    assert lengths == draw_lengths(20_000, 1) != draw_lengths(20_000, 2)


def test_the_true_shape() -> None:
    """Against the figures that are known of LLaMA-3-8B and of a ViT-L/14 at 336 px."""
    assert LLAVA_8B.image_tokens == 576
    assert LLAVA_8B.block_parameters == 6_979_321_856
    assert LLAVA_8B.cache_numbers * 2 == 131_072  # bytes per token in bfloat16
    vision = LLAVA_8B.operations(0) - 2 * LLAVA_8B.block_parameters * 605 - 32 * 2 * 4096 * 605**2
    assert vision == pytest.approx(366e9 + 24e9, rel=0.03)
    assert LLAVA_8B.operations(62) == pytest.approx(10.0e12, rel=0.03)

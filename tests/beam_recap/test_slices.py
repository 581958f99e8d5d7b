from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.inputs.units import Unit
from beam_recap.slices import Slice, parse_slice


@pytest.mark.parametrize(("text", "part"), [("1/1", Slice(1, 1)), (" 3/10 ", Slice(3, 10)), ("0/4", Slice(4, 4))])
def test_read(text: str, part: Slice) -> None:
    assert parse_slice(text) == part
    assert parse_slice(str(part)) == part


@pytest.mark.parametrize("text", ["", "1", "1/3/5", "4/3", "1/0", "0/0", "1/10001", "٣/3", "1.0/3", "a/b"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        parse_slice(text)


@given(st.integers(1, 40), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_every_unit_is_in_one_slice_and_none_has_many_more(total: int, units: list[int]) -> None:
    all_units = [Unit("a", shard, "csv", number=number) for shard, count in enumerate(units) for number in range(count)]
    held = [[unit for unit in all_units if Slice(number, total).holds(unit)] for number in range(1, total + 1)]
    assert sorted(unit.shard_number * 100 + unit.number for part in held for unit in part) == sorted(
        unit.shard_number * 100 + unit.number for unit in all_units
    )
    # Of each shard, no slice has more than one unit more than another.
    for shard in range(len(units)):
        sizes = [sum(unit.shard_number == shard for unit in part) for part in held]
        assert max(sizes) - min(sizes) <= 1

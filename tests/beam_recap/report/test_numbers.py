import pytest

from beam_recap.report.numbers import Numbers

NUMBERS = Numbers(
    {"a": {"b": [0, 1234567]}, "none": None, "share": 0.34567, "<x>": 3, "s": 59.96, "m": 90, "h": 9000, "size": 999}
)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (NUMBERS("a", "b", 1), '<span data-number="a.b.1">1,234,567</span>'),
        (NUMBERS("a", "b", 0), '<span data-number="a.b.0">0</span>'),
        (NUMBERS("none"), '<span data-number="none">–</span>'),
        (NUMBERS("share", decimals=3), '<span data-number="share">0.346</span>'),
        (NUMBERS.percent("share"), '<span data-number="share" data-factor="100">34.6</span> %'),
        (NUMBERS.percent("none"), '<span data-number="none" data-factor="100">–</span>'),
        (NUMBERS("<x>"), '<span data-number="&lt;x&gt;">3</span>'),
        (NUMBERS.duration("s"), '<span data-number="s">60.0</span> s'),
        (NUMBERS.duration("m"), '<span data-number="m" data-factor="0.016666666666666666">1.5</span> min'),
        (NUMBERS.duration("h"), '<span data-number="h" data-factor="0.0002777777777777778">2.5</span> h'),
        (NUMBERS.duration("none"), '<span data-number="none">–</span>'),
        (NUMBERS.size("size"), '<span data-number="size">999</span> B'),
        (NUMBERS.size("a", "b", 1), '<span data-number="a.b.1" data-factor="1e-06">1.2</span> MB'),
        (NUMBERS.size("none"), '<span data-number="none">–</span>'),
    ],
)
def test_numbers_say_where_they_are_from(html: str, expected: str) -> None:
    assert html == expected


def test_what_does_not_stand_there() -> None:
    with pytest.raises(KeyError):
        NUMBERS("a", "c")

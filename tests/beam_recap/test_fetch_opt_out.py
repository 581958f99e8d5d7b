"""What counts as an opt-out in the headers of an answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_recap.fetch.opt_out import MAX_TEXT_CHARS, is_opt_out_header, opts_out
from beam_recap.names import OPT_OUT_DIRECTIVES

ALL = frozenset(OPT_OUT_DIRECTIVES)


def decide(*headers: str, directives: frozenset[str] = ALL, agent: str = "beam-recap") -> str | None:
    lines = [header.encode() + b"\r\n" for header in headers]
    return opts_out([line for line in lines if is_opt_out_header(line)], directives, agent)


@pytest.mark.parametrize(
    "value",
    [
        "noai",
        "noai, noimageai",
        "nofollow, NoIndex",
        "NOINDEX",
        "  noml  ",
        "noimageindex",
        "none",
        "all, noai",
        "nofollow,,noai,",
        "noindex nofollow",  # separators that are none, quotes around it all: what is meant is plain
        "noindex; nofollow",
        '"noai, noimageai"',
        "noindex: true",
        ": noindex",
        "*: noindex",
        "robots: noindex",
        "beam-recap: noai",
        "Beam-Recap: noai",
        "beam-recap/1.0: noai",
        "beam-recap : noai",
        "beam-recap:noai",
        "beam-recap: nofollow, noai",
        "googlebot: nofollow, beam-recap: noai",
        "googlebot: nofollow, *: noai",
        "noindex, googlebot: nofollow",
        "beam-recap: noai, googlebot: all",
        "max-snippet: 20, noindex",
        "max-snippet:-1, max-image-preview:large, max-video-preview:-1, noindex",
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noindex",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
        "unavailable_after: Wednesday, 03-Dec-25 13:09:53 GMT, noindex",
        "unavailable_after: 2025-12-03T13:09:53+01:00, noindex",
        "Unavailable_After: Jun 25, 2010 15:00:00 PST, noindex",
        "googlebot: unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, beam-recap: noindex",
        "beam-recap: unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
        "beam-recap: max-snippet: 20, noindex",
        "noindex, unavailable_after: 25 Jun 2010 15:00:00 PST",
    ],
)
def test_it_opts_out(value: str) -> None:
    assert decide(f"X-Robots-Tag: {value}") == f"X-Robots-Tag: {value}".strip()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "all",
        "nofollow",
        "index, follow",
        "noarchive, nosnippet, notranslate, indexifembedded",
        "max-snippet: 20",
        "max-image-preview: none",  # a value, not the directive
        "max-snippet: noindex",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT",
        "googlebot: noindex",
        "googlebot: noindex, noai",
        "googlebot: nofollow, noindex",
        "beam-recap: nofollow, googlebot: noindex",
        "beam-recap-images: noindex",
        "notbeam-recap: noindex",
        "my beam-recap: noindex",
        "otherbot/2.1: noindex",
        "360spider: noindex",
        "googlebot: max-snippet: 20, noindex",
        "googlebot: unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, googlebot: noindex",
        "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, *: nofollow, 360spider: nofollow, noindex",
        "noaim, xnoindex, noindex-me, no index",
        "tdm-reservation",
    ],
)
def test_it_does_not_opt_out(value: str) -> None:
    assert decide(f"X-Robots-Tag: {value}") is None


@pytest.mark.parametrize("directive", [each for each in OPT_OUT_DIRECTIVES if each != "tdm-reservation"])
def test_only_the_chosen_directives_count(directive: str) -> None:
    header = f"X-Robots-Tag: {directive}"
    assert decide(header, directives=frozenset({directive})) == header
    assert decide(header, directives=ALL - {directive}) is None
    assert decide(header, directives=frozenset()) is None


def test_none_counts_where_noindex_does() -> None:
    assert decide("X-Robots-Tag: none", directives=frozenset({"noindex"})) == "X-Robots-Tag: none"
    assert decide("X-Robots-Tag: none", directives=ALL - {"noindex"}) is None


@pytest.mark.parametrize("value", ["1", " 1 ", '"1"', "1;policy=x", "0, 1", "1, 1"])
def test_a_tdm_reservation_of_one_opts_out(value: str) -> None:
    header = f"TDM-Reservation: {value}"
    assert decide(header) == header.strip()
    assert decide(header, directives=frozenset({"tdm-reservation"})) == header.strip()
    assert decide(header, directives=ALL - {"tdm-reservation"}) is None


@pytest.mark.parametrize("value", ["0", "", "2", "10", "true", "-1"])
def test_other_values_of_tdm_reservation_do_not(value: str) -> None:
    assert decide(f"tdm-reservation: {value}") is None


def test_several_headers_add_up_and_the_one_that_counts_is_named() -> None:
    headers = [
        "HTTP/1.1 200 OK",
        "Content-Type: image/jpeg",
        "X-Robots-Tag: googlebot: noindex",  # the agent does not reach into the next header
        "X-Robots-Tag: nofollow",
        "x-robots-tag: noai",
        "tdm-reservation: 1",
    ]
    assert decide(*headers) == "x-robots-tag: noai"
    assert decide(*headers[:4]) is None


def test_the_text_is_printable_and_bounded() -> None:
    text = opts_out([b"X-Robots-Tag: noai, \x00\xff\xc3\xa9\x1b[31m" + b"x" * 5000 + b"\r\n"], ALL, "beam-recap")
    assert text is not None
    assert text.isprintable()
    assert text.startswith("X-Robots-Tag: noai, ?")
    assert "é" in text
    assert len(text) == MAX_TEXT_CHARS


def test_header_lines_are_told_apart_in_any_case() -> None:
    for line in (b"X-Robots-Tag: noai\r\n", b"x-robots-tag:noai", b"X-ROBOTS-TAG : noai", b"TDM-Reservation: 1\r\n"):
        assert is_opt_out_header(line)
        assert opts_out([line], ALL, "beam-recap")
    for line in (
        b"",
        b"\r\n",
        b"X-Robots",
        b"X-Cache: HIT\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"tdm-policy: x\r\n",
    ):
        assert not is_opt_out_header(line)
    # Longer names begin alike, but are others.
    assert opts_out([b"X-Robots-Tags: noai\r\n", b"tdm-reservation-x: 1\r\n", b"X-Robots-Tag noai"], ALL, "a") is None


@pytest.mark.parametrize("unit", [b"a:", b"noinde:", b"a,", b"1:,", b"unavailable_after:", b"-", b"*:", b'":'])
def test_long_headers_take_no_long_time(unit: bytes) -> None:
    line = b"X-Robots-Tag: " + unit * (1_000_000 // len(unit))
    started = time.monotonic()
    opts_out([line], ALL, "beam-recap")
    assert time.monotonic() - started < 20  # quadratic work would take minutes


@given(st.lists(st.binary(max_size=60)), st.sets(st.sampled_from(OPT_OUT_DIRECTIVES)), st.text(max_size=5))
def test_any_bytes_are_read(tails: list[bytes], directives: set[str], agent: str) -> None:
    lines = [start + tail for tail in tails for start in (b"", b"X-Robots-Tag:", b"tdm-reservation:")]
    for line in lines:
        assert is_opt_out_header(line) in (True, False)
    text = opts_out(lines, frozenset(directives), agent)
    assert text is None or (text.isprintable() and len(text) <= MAX_TEXT_CHARS)


def as_img2dataset_does(value: str, agent: str, directives: frozenset[str]) -> bool:
    """The rule of img2dataset 1.47: all before the first colon is an agent."""
    before, colon, after = value.partition(":")
    words = {word.strip().lower() for word in (after if colon else before).split(",")}
    return (not colon or before.lower() == agent) and not words.isdisjoint(directives)


PIECES = st.one_of(
    st.sampled_from([":", ","]),
    st.sampled_from(["noai", "noindex", "nofollow", "none", "all", "beam-recap", "googlebot", "robots", "*"]),
    st.sampled_from([" ", "x", "20", "max-snippet", "unavailable_after", "Wed"]),
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("beam-recap: noai, googlebot: all")
def test_what_img2dataset_refuses_is_refused(value: str) -> None:
    directives = frozenset({"noai", "noindex"})
    if as_img2dataset_does(value, "beam-recap", directives):
        assert decide(f"X-Robots-Tag: {value}", directives=directives) is not None

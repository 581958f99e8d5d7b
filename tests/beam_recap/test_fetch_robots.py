"""What a robots.txt allows, from RFC 9309's examples to files made to be slow."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.fetch.robots import (
    ALLOW_ALL,
    DISALLOW_ALL,
    MAX_ROBOTS_BYTES,
    origin_of,
    parse_robots,
    robots_url,
    rules_for_status,
)
from beam_recap.fetch.urls import HttpUrl, read_url

SITE = "https://example.org"


def allowed(text: str | bytes, *paths: str, agent: str = "beam-recap") -> list[bool]:
    rules = parse_robots(text.encode() if isinstance(text, str) else text, agent)
    return [rules.allows(SITE + path) for path in paths]


def test_the_first_example_of_the_rfc() -> None:
    text = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""
    paths = ("/", "/a.gif", "/a.gif?b", "/example/page.html", "/example/allowed.gif", "/publications/a")
    assert allowed(text, *paths, agent="other") == [True, False, True, False, False, True]
    assert allowed(text, *paths, agent="FooBot") == [False, False, False, True, True, False]
    assert allowed(text, *paths, agent="bazbot") == [True, True, True, False, True, True]
    assert allowed(text, *paths, agent="quxbot") == [True] * 6


def test_the_longest_rule_counts_and_allow_among_equals() -> None:
    text = "User-Agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\nDisallow: /b\nAllow: /b"
    paths = ("/example/page/", "/example/page/x", "/example/page/disallowed.gif", "/b")
    assert allowed(text, *paths) == [True, True, False, True]


@pytest.mark.parametrize(
    ("line", "is_for_us"),
    [
        ("beam-recap", True),
        ("Beam-Recap", True),
        ("beam-recap/1.0", True),
        ("beam-recap 1.0", True),
        ("beam-recap # that one", True),
        ("beam-recap*", True),
        ("*", True),
        ("* # all", True),
        ("beam", False),
        ("b", False),
        ("recap", False),
        ("beam-recap-images", False),
        ("mybeam-recap", False),
        ("", False),
        ("Mozilla/5.0 (compatible; beam-recap)", False),
    ],
)
def test_a_group_is_for_us_by_the_whole_product_token(line: str, is_for_us: bool) -> None:
    assert allowed(f"User-agent: {line}\nDisallow: /", "/a") == [not is_for_us]


def test_our_own_group_counts_instead_of_everybodys_wherever_it_stands() -> None:
    own = "User-agent: beam-recap\nDisallow: /own\n"
    everybody = "User-agent: *\nDisallow: /\n"
    for text in (own + everybody, everybody + own, everybody + own + everybody):
        assert allowed(text, "/a", "/own") == [True, False]
    assert allowed(everybody + "User-agent: beam-recap\nDisallow:\n", "/a") == [True]


def test_groups_for_one_agent_are_one() -> None:
    text = "User-agent: beam-recap\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: BEAM-RECAP\nDisallow: /b\n"
    assert allowed(text, "/a", "/b", "/c") == [False, False, True]


def test_an_empty_rule_ends_the_agents_and_other_records_do_not() -> None:
    assert allowed("User-agent: beam-recap\nDisallow:\nUser-agent: x\nDisallow: /", "/a") == [True]
    for record in ("Sitemap: https://example.org/map.xml", "Crawl-delay: 1", "Host: x", "nonsense", "", "# words"):
        assert allowed(f"User-agent: beam-recap\n{record}\nUser-agent: x\nDisallow: /", "/a") == [False]


@pytest.mark.parametrize(
    "rule", ["Disallow: /a", "disallow:/a", "DISALLOW : /a", "  Disallow /a", "Dissalow: /a", "Disallow: /a # words"]
)
@pytest.mark.parametrize("agent", ["User-agent: *", "user-agent:*", "User agent: *", "UserAgent: *", "User-agent *"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_as_they_are_found_on_the_web(rule: str, agent: str, end: str) -> None:
    assert allowed(agent + end + rule + end, "/a", "/b") == [False, True]


def test_rules_before_any_agent_do_not_count() -> None:
    assert allowed("Disallow: /\nUser-agent: x\nDisallow: /", "/a") == [True]


def test_percent_encoding_does_not_matter() -> None:
    text = "User-agent: *\nDisallow: /%61bc\nDisallow: /é\nDisallow: /a%2Fb\nDisallow: /q?x=*&y"
    paths = ("/abc", "/%61bc", "/%C3%A9", "/a/b", "/a%2fb", "/q?x=1&y=2", "/q?x=1")
    assert allowed(text, *paths) == [False, False, False, True, False, False, True]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert allowed("User-agent: *\nDisallow: /é".encode(encoding), "/%C3%A9", "/e") == [False, True]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><html><body><p>Disallow: /</p></body></html>",
        b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20,
        b"\x00" * 1000,
        b"User-agent: *",
        b"User-agent: *\nDisallow:",
        b"User-agent: *\nAllow: /",
        b"\xff\xfe\x00",
    ],
)
def test_what_has_no_rules_allows_all(body: bytes) -> None:
    assert allowed(body, "/", "/a") == [True, True]


def test_the_rest_of_a_large_file_is_passed_over_as_is_the_line_that_is_cut() -> None:
    head = b"User-agent: *\nDisallow: /first\n"
    filler = b"#" * (MAX_ROBOTS_BYTES - len(head) - 12) + b"\n"
    body = head + filler + b"Disallow: /last\nDisallow: /\n"
    assert body[:MAX_ROBOTS_BYTES].endswith(b"\nDisallow: /")
    for received in (body, body[:MAX_ROBOTS_BYTES]):
        assert allowed(received, "/first", "/last", "/b") == [False, True, True]


def test_more_rules_than_can_be_matched_in_time_disallow_all() -> None:
    plain = "User-agent: *\n" + "".join(f"Disallow: /{number}\n" for number in range(19_000))
    assert allowed(plain, "/a", "/77") == [True, False]
    wild = "User-agent: *\n" + "".join(f"Disallow: /*a{number}\n" for number in range(19_000))
    assert parse_robots(wild.encode(), "beam-recap") is DISALLOW_ALL
    for_others = wild.replace("*\n", "other\n", 1)
    assert parse_robots(for_others.encode(), "beam-recap") is ALLOW_ALL
    again_and_again = "User-agent: *\n" + "Disallow: /*a\n" * 19_000
    assert allowed(again_and_again, "/b", "/ba") == [True, False]


def test_stars_in_a_row_are_one() -> None:
    assert allowed("User-agent: *\nDisallow: /a" + "*" * 30_000 + "b", "/acb", "/ac") == [False, True]


def many(line: str, distinct: bool = True) -> str:
    lines = [line.format(number) if distinct else line for number in range(MAX_ROBOTS_BYTES // (len(line) + 5))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        many("User-agent: a{}") + "\n" + many("User-agent: a{}"),
        many("User-agent: a{}")[: MAX_ROBOTS_BYTES // 2] + "\nUser-agent: *\n" + many("Disallow: /{}"),
        many("User-agent: *\nDisallow: /{}"),
        "User-agent: *\n" + many("Disallow: *a*a{}"),
        "User-agent: *\n" + "\n".join(f"Disallow: *{'a' * (number % 40)}b{number}" for number in range(2_800)),
        "User-agent: *\n" + "\n".join("Disallow: /" + "a*" * 1900 + f"b{number}" for number in range(10)),
        "User-agent: *\nDisallow: /" + "*a" * 9_000 + "b",
        "User-agent: *\nDisallow: /" + "*" * 500_000,
        "User-agent: *\nDisallow: /" + "a" * 500_000,
        "User-agent: *\nDisallow" + " " * 500_000 + "x",
        "User-agent: *\n" + "dis" + "s" * 500_000,
        "User-agent: *\n" + many("Disallow: /{}$$$$$$$$$$$$$$$$$$$$$$"),
        "User-agent: *\nCrawl-delay: " + "9" * 500_000,
        many("a", distinct=False),
        "User-agent: *\n" + "\x0bUser-agent: x\x0bDisallow: /y\x0b" * 15_000,
    ],
    ids=range(15),
)
def test_files_made_to_be_slow_are_not(text: str) -> None:
    started = time.monotonic()
    rules = parse_robots(text.encode(), "beam-recap")
    for _ in range(3):
        rules.allows(f"{SITE}/{'a' * 4000}")
    assert time.monotonic() - started < 10  # a second at the most; without limits some take minutes


@given(st.binary(max_size=200), st.text(max_size=10), st.text(max_size=20))
def test_any_bytes_and_urls_are_read(body: bytes, agent: str, path: str) -> None:
    for start in (b"", b"User-agent: *\nDisallow: ", b"\xff\xfe"):
        rules = parse_robots(start + body, agent)
        for url in (SITE + "/" + path, path, "http://[", "http://[::1]/"):
            assert rules.allows(url) in (True, False)


PATTERN = st.text(alphabet="ab/*", max_size=5).flatmap(lambda text: st.sampled_from([f"/{text}", f"/{text}$"]))


@given(
    st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), PATTERN), max_size=6),
    st.text(alphabet="ab/", max_size=6),
)
def test_rules_mean_what_the_rfc_says(rules: list[tuple[str, str]], path: str) -> None:
    text = "User-agent: *\n" + "".join(f"{kind}: {pattern}\n" for kind, pattern in rules)
    matching = []
    for kind, pattern in rules:
        pattern = re.sub(r"\*+", "*", pattern)
        expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\$", r"\Z")
        if re.match(expression, f"/{path}"):
            matching.append((len(pattern), kind == "Allow"))
    assert allowed(text, f"/{path}") == [max(matching, default=(0, True))[1]]


def test_what_a_status_means() -> None:
    for status in (300, 302, 400, 401, 403, 404, 410, 451):
        assert rules_for_status(status) is ALLOW_ALL
    for status in (100, 200, 204, 429, 500, 503, 599, 999):
        assert rules_for_status(status) is None
    assert ALLOW_ALL.allows(SITE + "/")
    assert not DISALLOW_ALL.allows(SITE + "/")


def test_origins_and_where_their_file_lies() -> None:
    for url, origin, robots in (
        ("https://Example.org/a/b.jpg?x=1", "https://example.org:443", "https://example.org/robots.txt"),
        ("http://example.org", "http://example.org:80", "http://example.org/robots.txt"),
        ("http://example.org:8080/a", "http://example.org:8080", "http://example.org:8080/robots.txt"),
        ("https://[::1]/a", "https://[::1]:443", "https://[::1]/robots.txt"),
        ("https://[::1]:8443/a", "https://[::1]:8443", "https://[::1]:8443/robots.txt"),
    ):
        read = read_url(url)
        assert isinstance(read, HttpUrl)
        assert origin_of(read.text) == origin
        assert robots_url(read.text) == robots


def test_protego_is_loaded_only_where_there_are_rules() -> None:
    code = (
        "import sys; from beam_recap.fetch.robots import parse_robots; parse_robots(b'', 'a');"
        "before = 'protego' in sys.modules; parse_robots(b'User-agent: *\\nDisallow: /', 'a');"
        "print(before, 'protego' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["False", "True"]

"""Properties of reading strangers' URLs, whatever they are."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_recap.fetch.addresses import is_public_address
from beam_recap.fetch.urls import MAX_URL_CHARS, BadUrl, HttpUrl, read_reference, read_url

BASE = HttpUrl("https://a.example/folder/x.jpg", "a.example", 443, "https://a.example:443")

# Text that looks like a URL more often than random text does.
PIECES = ["http", "https", ":", "//", "/", "\\", "@", "?", "#", "[", "]", "%", "%00", "..", ".", "127.0.0.1", "::1"]
PIECES += ["localhost", "example", "com", "user", "80", "0x7f", "１２７", "。", "ß", "\t", "\n", " ", "xn--"]
PIECES += ["\u202e", "\ud800"]
URLISH = st.one_of(
    st.text(max_size=60), st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=20).map("".join)
)


def check(url: HttpUrl | BadUrl) -> None:
    """What holds of every URL that is asked for."""
    if isinstance(url, BadUrl):
        assert url.problem
        return
    text = url.text
    parts = urlsplit(text)
    assert text.isascii() and text.isprintable() and " " not in text
    assert len(text) <= MAX_URL_CHARS
    assert text.startswith(("http://", "https://"))
    assert "@" not in parts.netloc and parts.username is None and parts.password is None
    assert parts.hostname and url.host.strip("[]") == parts.hostname
    assert 1 <= url.port <= 65535
    assert "\\" not in text and not parts.fragment
    assert url.origin == f"{parts.scheme}://{url.host}:{url.port}"


@given(URLISH)
@example("http://[::1%25lo]/")
@example("http:/\\127.0.0.1/")
@example("http://a\\@127.0.0.1/")
@settings(max_examples=400, deadline=None)
def test_what_is_asked_for_is_plain(text: str) -> None:
    check(read_url(text))
    check(read_url("http://" + text))
    check(read_reference(BASE, text))


@given(URLISH)
@settings(max_examples=200, deadline=None)
def test_reading_again_changes_nothing(text: str) -> None:
    url = read_url("http://" + text)
    if isinstance(url, HttpUrl):
        assert read_url(url.text) == url


@given(st.one_of(st.integers(), st.none(), st.binary(), st.floats(), st.lists(st.text())))
def test_what_is_no_text_is_refused(value: object) -> None:
    assert isinstance(read_url(value), BadUrl)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "data", "javascript", "gs", "ws", "httpx", "", "HTTP s"])
def test_other_schemes_are_refused(scheme: str) -> None:
    assert isinstance(read_url(f"{scheme}://example.com/x.jpg"), BadUrl)


# Addresses, in all the notations that `inet_aton` and libcurl read.

NOT_PUBLIC_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]


@given(st.sampled_from(NOT_PUBLIC_V4).map(ipaddress.IPv4Network), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_no_address_of_a_reserved_network_is_public_in_any_clothes(network: ipaddress.IPv4Network, bits: int) -> None:
    address = network[bits % network.num_addresses]
    number = int(address)
    assert not is_public_address(str(address))
    for dressed in (
        ipaddress.IPv6Address(0xFFFF_0000_0000 | number),  # IPv4-mapped
        ipaddress.IPv6Address((0x64_FF9B << 96) | number),  # NAT64
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),  # 6to4
        ipaddress.IPv6Address(number),  # IPv4-compatible
    ):
        assert not is_public_address(str(dressed))
        assert not is_public_address(dressed.exploded)


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address))
@settings(max_examples=300)
def test_only_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    if is_public_address(str(address)):
        assert address in ipaddress.IPv6Network("2000::/3")
        assert address.is_global


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
@settings(max_examples=200)
def test_a_number_as_host_means_the_address_that_is_checked(number: int, notation: str) -> None:
    """However it is written, the system makes an address of it, and that is what `SocketGate` sees."""
    text = notation.format(number)
    url = read_url(f"http://{text}/")
    assert isinstance(url, HttpUrl)
    ((_, _, _, _, where), *_) = socket.getaddrinfo(url.host, 80, socket.AF_INET, socket.SOCK_STREAM)
    assert is_public_address(where[0]) == is_public_address(str(ipaddress.IPv4Address(number)))


@given(st.text(max_size=40))
def test_what_is_no_address_is_not_public(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert not is_public_address(text)

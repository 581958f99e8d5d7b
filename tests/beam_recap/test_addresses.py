"""Which addresses and URLs a stranger may send the fetcher to."""

from __future__ import annotations

import pytest

from beam_recap.fetch.addresses import is_private_literal, is_public_address
from beam_recap.fetch.urls import BadUrl, HttpUrl, read_url


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "192.0.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82a::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",  # NAT64 of 8.8.8.8
        "2002:808:808::1",  # 6to4 of 8.8.8.8
    ],
)
def test_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",  # metadata services of the clouds
        "100.64.0.1",
        "100.100.100.200",  # one more metadata service, inside shared address space
        "168.63.129.16",  # and one inside public space
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700:4700::1111%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "::7f00:1",  # IPv4-compatible, long deprecated
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2001:0:7f00:1:0:0:f7f7:f7f7",
        "",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "8.8.8.8.",
        "８.8.8.8",
        "/run/docker.sock",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:8443/A.jpg#part", "https://example.com:8443/A.jpg"),
        ("  http://example.com/a b.jpg\n", "http://example.com/a%20b.jpg"),
        ("http://example.com/a%20b.jpg?x=1%2C2&y=[a]", "http://example.com/a%20b.jpg?x=1%2C2&y=[a]"),
        ("http://example.com/straße.jpg?q=ü", "http://example.com/stra%C3%9Fe.jpg?q=%C3%BC"),
        ('http://example.com/{a}`b"<c>^', "http://example.com/%7Ba%7D%60b%22%3Cc%3E%5E"),
        ("http://example.com/a\\b.jpg", "http://example.com/a/b.jpg"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("http://faß.example/", "http://xn--fa-hia.example/"),
        ("http://a_b.example.com./x", "http://a_b.example.com./x"),
        ("http://１２７.０.０.１/", "http://127.0.0.1/"),  # as browsers do; refused when it connects
        ("http://[2606:4700::1111]:80/", "http://[2606:4700::1111]:80/"),
        ("http://example.com?x", "http://example.com/?x"),
    ],
)
def test_read_url(given: str, written: str) -> None:
    url = read_url(given)
    assert isinstance(url, HttpUrl)
    assert url.text == written
    assert url.text.isascii()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "   ",
        "example.com/a.jpg",
        "//example.com/a.jpg",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.com/a.jpg",
        "gopher://example.com/",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "http://",
        "http:///a.jpg",
        "http://:80/",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://exam ple.com/",
        "http://example.com/a\r\nHost: evil.example",
        "http://example.com/a\tb",
        "http://exam\x00ple.com/",
        "http://example.com/\x7f",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://a..b/",
        "http://%31%32%37.0.0.1/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 130 + "com/",
        "http://example.com/" + "a" * 4096,
        "http://example.com/" + "語" * 1000,
        "http://example.com/\ud800",
        "http://\ud800.com/",
        "http://❤\u0338.example/",
    ],
)
def test_refused_url(given: str) -> None:
    url = read_url(given)
    assert isinstance(url, BadUrl)
    assert url.problem
    assert url.problem.isprintable()


@pytest.mark.parametrize("given", [None, 5, b"http://example.com/"])
def test_url_that_is_no_text(given: object) -> None:
    assert isinstance(read_url(given), BadUrl)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "10.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "0",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "localhost",
        "localhost.",
        "a.localhost",
    ],
)
def test_private_by_its_text(host: str) -> None:
    assert is_private_literal(host)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "134744072", "[2606:4700::1111]", "example.com", "localhost.example", "a.b"]
)
def test_not_private_by_its_text(host: str) -> None:
    assert not is_private_literal(host)

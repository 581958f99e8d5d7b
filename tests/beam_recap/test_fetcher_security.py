"""Where a stranger's URL may not lead, and whose certificate is believed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fetching import BIG, IMAGES, PICTURE, fetch_all, fetch_one, local_settings
from support.web_server import WebServer

from beam_recap.fetch import Fetcher
from beam_recap.records import Reason


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer(IMAGES) as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.fetch.policy.FIRST_BACKOFF_S", 0.1)


# Strangers' addresses.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "%31%32%37.0.0.1",
        "user:password@127.0.0.1",
        "8.8.8.8\\@127.0.0.1",
    ],
)
def test_own_machine_is_never_asked(host: str) -> None:
    with WebServer(IMAGES) as server:
        result = fetch_one(server.url("/cat.jpg", host=host), allow_private_hosts=False, retries=1, timeout_s=5.0)
        assert result.body is None
        assert result.reason in (Reason.PRIVATE_ADDRESS, Reason.INVALID_URL)
        assert result.attempts == 0
        assert not server.requests


@pytest.mark.parametrize("host", ["169.254.169.254", "10.1.2.3", "192.168.0.1", "100.100.100.200", "[fd00:ec2::254]"])
def test_private_networks_are_never_asked(host: str) -> None:
    result = fetch_one(f"http://{host}/latest/meta-data/", allow_private_hosts=False)
    assert (result.reason, result.attempts) == (Reason.PRIVATE_ADDRESS, 0)
    assert host.strip("[]") in result.detail


def test_redirect_into_a_private_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from beam_recap.fetch import addresses

    # The first server plays one on the public internet: 127.0.0.1 counts as public here, the second one's ::1 not.
    monkeypatch.setattr(addresses, "is_public_address", lambda address: address == "127.0.0.1")
    with WebServer(IMAGES) as server:
        inside = socket.create_server(("::1", 0), family=socket.AF_INET6) if socket.has_ipv6 else None
        if inside is None:
            pytest.skip("no IPv6 here")
        inside.settimeout(0.3)
        for target in (f"http://[::1]:{inside.getsockname()[1]}/x", "http://169.254.169.254/latest/meta-data/"):
            result = fetch_one(server.url(f"/redirect-to?url={target}"), allow_private_hosts=False)
            assert (result.reason, result.attempts) == (Reason.PRIVATE_ADDRESS, 1)
        with pytest.raises(TimeoutError):
            inside.accept()
        inside.close()


def test_address_is_checked_at_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is first asked for and private later (DNS rebinding) gains nothing."""
    from beam_recap.fetch import addresses

    answers = iter([True, False, False])
    monkeypatch.setattr(addresses, "is_public_address", lambda address: next(answers))
    with WebServer(IMAGES) as server:
        settings = local_settings(allow_private_hosts=False)
        fetcher = Fetcher(settings, resolver=lambda host, port: ["127.0.0.1"])
        # Leaves no connection to use again.
        first = fetcher.fetch(server.url("/endless-redirect", host="a.example"))
        second = fetcher.fetch(server.url("/cat.jpg", host="a.example"))
        fetcher.close()
        assert first.reason == Reason.PRIVATE_ADDRESS
        assert server.requests["/endless-redirect"] == 1
        assert second.reason == Reason.PRIVATE_ADDRESS
        assert "/cat.jpg" not in server.requests


def test_name_that_moves_into_a_private_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the same name is a public address at first, and one of this machine's from then on."""
    from beam_recap.fetch import addresses

    monkeypatch.setattr(addresses, "is_public_address", lambda address: address == "127.0.0.2")
    with (
        WebServer(IMAGES, place=("127.0.0.2", 0)) as outside,
        WebServer(IMAGES, place=("127.0.0.1", outside.port)) as inside,
    ):
        answers = [["127.0.0.2"], ["127.0.0.1"], ["10.0.0.1", "127.0.0.1"], []]
        fetcher = Fetcher(
            local_settings(allow_private_hosts=False, retries=0), resolver=lambda host, port: answers.pop(0)
        )
        # Each answer leaves no connection to use again.
        results = [fetcher.fetch(outside.url("/reset", host="rebinding.example")) for _ in range(4)]
        fetcher.close()
        reasons = [Reason.RESET, Reason.PRIVATE_ADDRESS, Reason.PRIVATE_ADDRESS, Reason.DNS]
        assert [result.reason for result in results] == reasons
        assert (outside.requests.total(), inside.requests.total()) == (1, 0)


def test_one_lookup_serves_the_check_and_the_connection_and_the_next_ones(web: WebServer) -> None:
    """The address that is checked is the one that is connected to, and it is remembered."""
    seen: list[str] = []
    fetcher = Fetcher(local_settings(connections_per_host=1))
    from beam_recap.fetch.sockets import SocketGate

    opened = SocketGate.open

    def watch(gate: SocketGate, purpose: int, address: Any) -> Any:
        seen.append(address.addr[0])
        return opened(gate, purpose, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SocketGate, "open", watch)
        for _ in range(5):
            assert fetcher.fetch(web.url("/cat.jpg")).body == PICTURE
    fetcher.close()
    assert seen == ["127.0.0.1"]  # one connection, used five times


def test_proxy_of_the_environment_is_not_used(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert fetch_one(web.url("/cat.jpg")).body == PICTURE


# TLS.


def test_certificate_must_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with WebServer(IMAGES, tls=True) as server:
        result = fetch_one(server.url("/cat.jpg"))
        assert (result.reason, result.attempts) == (Reason.TLS, 1)
        assert not server.requests
        assert fetch_one(server.url("/cat.jpg"), verify_tls=False).body == PICTURE
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        assert fetch_one(server.url("/cat.jpg")).body == PICTURE
        assert fetch_one(server.url("/cat.jpg", host="localhost")).reason == Reason.TLS  # not its name


def test_https_to_a_server_without_it(web: WebServer) -> None:
    assert fetch_one(web.url("/cat.jpg").replace("http:", "https:")).reason == Reason.TLS


def test_many_large_bodies_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer(IMAGES, tls=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        results = fetch_all([server.url(f"/big.jpg?{number}") for number in range(20)], local_settings())
    assert [result.body == BIG for result in results] == [True] * 20


def test_certificate_file_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        Fetcher()

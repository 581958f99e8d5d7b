"""Which IP addresses belong to the public internet. Everything else may be the inside of somebody's network."""

from __future__ import annotations

import functools
import ipaddress
import socket

# The well-known prefix of NAT64 (RFC 6052): on networks with IPv6 only, every IPv4 host is reached through it.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# All global unicast IPv6 is allotted from this block (RFC 4291, IANA "IPv6 Address Space"). Asking for it also refuses
# what `is_global` of Python 3.11 lets pass: fec0::/10 site-local, 64:ff9b:1::/48 local NAT64, ::/96, 5f00::/16.
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")

# Not global by IANA's special-purpose registries, though `is_global` of Python 3.11 says otherwise, or not to be
# reached by a fetcher for another reason.
_REFUSED_V4 = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; holds the metadata service of one cloud
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated by RFC 7526
    ipaddress.IPv4Network("168.63.129.16/32"),  # the platform endpoint of Azure, reachable from every machine there
)
_REFUSED_V6 = (
    ipaddress.IPv6Network("3fff::/20"),  # documentation, RFC 9637
)


def is_public_address(ip: str) -> bool:
    """Whether an address is one on the public internet that a picture may be fetched from.

    An IPv4 address inside an IPv6 one (IPv4-mapped, NAT64, 6to4, Teredo) is judged itself.

    Args:
      ip: an IPv4 or IPv6 address in its usual notation.

    Returns:
      False for private, loopback, link-local, multicast, reserved and unspecified addresses, and for anything that
      is not an address.
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_v4(address)
    return _is_public_v6(address)


def is_private_literal(host: str) -> bool:
    """Whether a URL's host is, by its text alone, an address that is not public.

    True for IP addresses in every notation that systems read (127.1, 0x7f000001, 2130706433, 017700000001) and for
    localhost and names below it (RFC 6761). False for other names: only a lookup tells where they lead.

    Args:
      host: in lower case; an IPv6 address in brackets.
    """
    host = host.removesuffix(".")
    if host.startswith("["):
        return not is_public_address(host.strip("[]"))
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public_address(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:  # a name
        return False


@functools.lru_cache(maxsize=65536)  # 25 microseconds once, not per connection
def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return _is_ordinary(address) and not any(address in network for network in _REFUSED_V4)


def _is_public_v6(address: ipaddress.IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None and not _is_public_v4(address.sixtofour):
        return False
    if address.teredo is not None and not all(_is_public_v4(part) for part in address.teredo):
        return False
    return (
        address in _GLOBAL_UNICAST_V6
        and _is_ordinary(address)
        and not any(address in network for network in _REFUSED_V6)
    )


def _is_ordinary(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    )

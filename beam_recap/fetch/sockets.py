"""The one place where connections are made, and where those into somebody's network are refused."""

from __future__ import annotations

import socket
from typing import Any

import pycurl

from beam_recap.fetch import addresses
from beam_recap.fetch.settings import FetchSettings
from beam_recap.isolation import describe_error


class SocketGate:
    """Opens the sockets of one libcurl handle.

    It sees every connection: to an address in any notation, of a redirect, and to a name that resolves differently
    each time. libcurl connects to the very address that is checked here, and a connection that is used again was
    opened here, too.

    Attributes:
      refused: the address that was asked for and is not public; "" if none was.
      error: why no socket could be had; "" if one was.
      is_unresolved: the name has no address, so nothing is opened.
    """

    def __init__(self, settings: FetchSettings) -> None:
        self._allow_private_hosts = settings.allow_private_hosts
        self.clear()

    def clear(self) -> None:
        """Forgets what the last transfer did."""
        self.refused = ""
        self.error = ""
        self.is_unresolved = False

    def open(self, purpose: int, address: Any) -> socket.socket | int:
        """libcurl's OPENSOCKETFUNCTION."""
        if self.is_unresolved:
            return pycurl.SOCKET_BAD
        try:
            where = address.addr[0]
            is_ip = address.family in (socket.AF_INET, socket.AF_INET6)
            if not is_ip or not (self._allow_private_hosts or addresses.is_public_address(where)):
                self.refused = where if is_ip else "a socket that is no internet socket"
                return pycurl.SOCKET_BAD
            return _Socket(address.family, address.socktype, address.protocol)
        except Exception as error:  # no descriptors left, for one; anything else must not let a connection through
            self.error = describe_error(error)
            return pycurl.SOCKET_BAD


class _Socket(socket.socket):
    """pycurl takes a copy of the descriptor and drops the object, which Python would describe to say so."""

    __slots__ = ()

    def __del__(self) -> None:
        self.close()

"""F1: whose process is at the other end of a unix socket, as the kernel knows it."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

UCRED: Final = struct.Struct("3i")  # struct ucred of unix(7)


class Peer(NamedTuple):
    """Of the process that connected, or that listens. `pid` is 0 for one of another pid namespace."""

    pid: int
    uid: int
    gid: int


def peer_of(connected: socket.socket) -> Peer:
    """Raises OSError."""
    return Peer._make(UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)))

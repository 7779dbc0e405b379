"""F1: where an engine serves: a unix socket's path, or a host and port. Read from text, never opened here."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import InvalidParameterValueException
from ..settings import default_socket

FORMS = "unix:/path, tcp:host:port or a bare /path"
PORT_MAX = 65_535
PATH_MAX_BYTES = 107  # sun_path of sockaddr_un less its final zero


@dataclass(frozen=True, slots=True)
class Address:
    """Either `path` is set, or `host` and `port` are."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"


def parse_address(text: str | os.PathLike[str] | None = None) -> Address:
    """`unix:/path`, `tcp:host:port` or a bare path; None is where this user's engine serves.

    Raises InvalidParameterValueException, naming the value. An IPv6 host stands in brackets: `tcp:[::1]:3002`.
    """
    given = default_socket() if text is None else os.fspath(text)
    if given.startswith("tcp:"):
        return _parse_tcp(given)
    path = given.removeprefix("unix:")
    if not path or "\0" in path or (path == given and "/" not in path):
        raise InvalidParameterValueException(f"address={given!r} is not an address: write {FORMS}")
    if len(os.fsencode(path)) > PATH_MAX_BYTES:
        raise InvalidParameterValueException(
            f"address={given!r} is too long: a unix socket's path has at most {PATH_MAX_BYTES} bytes"
        )
    return Address(path=path)


def _parse_tcp(given: str) -> Address:
    host, colon, port = given.removeprefix("tcp:").rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
        raise InvalidParameterValueException(
            f"address={given!r} is not an address: write tcp:host:port with a port from 1 to {PORT_MAX}"
        )
    return Address(host=host, port=int(port))

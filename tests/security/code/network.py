"""Sockets of every kind, and who answers on them."""

from __future__ import annotations

import os
import socket
from typing import Any

from attempts import said

PATIENCE_S = 20.0
held: list[socket.socket] = []


def opens_sockets(*, kinds: dict[str, list[int]]) -> dict[str, str]:
    return {name: said(lambda kind=kind: socket.socket(*kind).close()) for name, kind in kinds.items()}


def connects(*, addresses: dict[str, Any]) -> dict[str, str]:
    """A list is host and port; text is a path, with @ for an abstract name."""
    return {name: said(lambda address=address: _connect(address).close()) for name, address in addresses.items()}


def _connect(address: Any) -> socket.socket:
    if isinstance(address, list):
        return socket.create_connection((address[0], address[1]), timeout=PATIENCE_S)
    plug = socket.socket(socket.AF_UNIX)
    try:
        plug.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        plug.close()
        raise
    return plug


def asks_service(*, port: int, words: str) -> str:
    """What a service on the host's loopback says to bytes that are no credentials."""
    with _connect(["127.0.0.1", port]) as plug:
        plug.sendall(bytes.fromhex(words))
        said = b""
        try:
            while part := plug.recv(4096):
                said += part
        except ConnectionResetError:
            pass
    return said.hex()


def listens(*, label: str) -> dict[str, Any]:
    """On loopback and on an abstract name, for as long as this environment lives."""
    tcp, abstract = socket.socket(), socket.socket(socket.AF_UNIX)
    held.extend((tcp, abstract))
    tcp.bind(("127.0.0.1", 0))
    abstract.bind(f"\0{label}")
    for one in held:
        one.listen()
    own = connects(addresses={"tcp": list(tcp.getsockname()), "abstract": f"@{label}"})
    return {"port": tcp.getsockname()[1], "own": own}


def resolves(*, names: list[str]) -> dict[str, str]:
    return {name: _resolve(name) for name in names}


def _resolve(name: str) -> str:
    try:
        return socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror:
        return "gaierror"


def counts_interfaces() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def own_pid() -> int:
    return os.getpid()


def own_runtime_api() -> list[Any]:
    """Host and port."""
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
    return [host, int(port)]


def opens_many_connections(*, host: str, port: int, number: int) -> int:
    """Each says half a request; all are closed together. How many were opened."""
    plugs = []
    for _ in range(number):
        plugs.append(_connect([host, port]))
        try:
            plugs[-1].sendall(b"POST /2018-06-01/runtime/invocation/next HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        except ConnectionError:
            continue  # refused, as is right
    for plug in plugs:
        plug.close()
    return len(plugs)

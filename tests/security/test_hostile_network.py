"""Sockets: which can be opened, and who answers, by the network that a function was given."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from standing import Hostile

Deploy = Callable[..., Hostile]
NETLINK, PACKET, ALG, VSOCK, XDP, BLUETOOTH = 16, 17, 38, 40, 44, 31
STREAM, DGRAM, RAW = 1, 2, 3
KINDS = {
    "tcp": [2, STREAM, 0], "udp": [2, DGRAM, 0], "tcp6": [10, STREAM, 0], "unix": [1, STREAM, 0],
    "route": [NETLINK, RAW, 0],
    "raw": [2, RAW, 1], "raw6": [10, RAW, 58], "ping": [2, DGRAM, 1], "sctp": [2, STREAM, 132],
    "packet": [PACKET, RAW, 0],
    "old packet": [2, 10, 0], "audit": [NETLINK, RAW, 9], "netfilter": [NETLINK, RAW, 12], "alg": [ALG, 5, 0],
    "vsock": [VSOCK, STREAM, 0], "xdp": [XDP, RAW, 0], "bluetooth": [BLUETOOTH, RAW, 1],
}  # fmt: skip
OPEN = ("tcp", "udp", "tcp6", "unix", "route")
REFUSED_BY = {
    "raw": "EPERM", "raw6": "EPERM", "ping": "EPROTONOSUPPORT", "sctp": "EPROTONOSUPPORT", "packet": "EAFNOSUPPORT",
    "old packet": "EPERM", "audit": "EPROTONOSUPPORT", "netfilter": "EPROTONOSUPPORT", "alg": "EAFNOSUPPORT",
    "vsock": "EAFNOSUPPORT", "xdp": "EAFNOSUPPORT", "bluetooth": "EAFNOSUPPORT",
}  # fmt: skip


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[dict[str, object]]:
    """The host's: on loopback, on a path, on an abstract name."""
    name = f"sesame-{uuid.uuid4().hex}"
    sockets = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    for one, address in zip(sockets, [("127.0.0.1", 0), str(tmp_path / "s"), f"\0{name}"], strict=True):
        one.bind(address)
        one.listen()
    yield {"tcp": list(sockets[0].getsockname()), "path": str(tmp_path / "s"), "abstract": f"@{name}"}
    for one in sockets:
        one.close()


def test_plain_sockets_open_and_all_others_do_not(hostile: Hostile, enforced: frozenset[str]) -> None:
    assert "system calls" in enforced
    told = hostile.told("opens_sockets", kinds=KINDS)
    assert {told[name] for name in OPEN} <= {"done", "EAFNOSUPPORT"}  # a host may have no IPv6
    assert {name: said for name, said in told.items() if name not in OPEN} == REFUSED_BY


def test_on_the_hosts_network_loopback_answers_and_unix_sockets_do_not(
    deploy: Deploy, enforced: frozenset[str], listeners: dict[str, object]
) -> None:
    told = deploy(network="host").told("connects", addresses=listeners)
    assert told["tcp"] == "done"  # as Lambda has no such network, this is what "host" means
    if enforced & {"files", "file access"}:
        assert told["path"] in ("ENOENT", "EACCES")
    if "file access" in enforced:
        assert told["abstract"] == "EPERM"  # Landlock's scope


@pytest.mark.parametrize(("network", "refusal"), [("loopback", "ECONNREFUSED"), ("none", "ENETUNREACH")])
def test_without_the_hosts_network_nobody_answers(
    deploy: Deploy, enforced: frozenset[str], listeners: dict[str, object], network: str, refusal: str
) -> None:
    if "network" not in enforced:
        return
    hostile = deploy(network=network)
    told = hostile.told("connects", addresses={**listeners, "out": ["192.0.2.1", 80]})
    assert (told["tcp"], told["out"]) == (refusal, "ENETUNREACH")
    assert told["abstract"] in ("ECONNREFUSED", "EPERM")
    assert "lo" in hostile.told("counts_interfaces")
    names = hostile.told("resolves", names=["localhost", "example.invalid"])
    assert names == {"localhost": "127.0.0.1", "example.invalid": "gaierror"}


def test_two_functions_meet_on_the_hosts_network_by_tcp_alone(deploy: Deploy, enforced: frozenset[str]) -> None:
    """No descriptor can be handed over by TCP; abstract names, by which one could, end at each sandbox."""
    name = f"sesame-{uuid.uuid4().hex}"
    one, other = deploy(network="host"), deploy(network="host")
    listening = one.told("listens", label=name)
    assert listening["own"] == {"tcp": "done", "abstract": "done"}
    told = other.told("connects", addresses={"tcp": ["127.0.0.1", listening["port"]], "abstract": f"@{name}"})
    assert told["tcp"] == "done"
    if "file access" in enforced:
        assert told["abstract"] == "EPERM"


def test_two_functions_on_loopback_do_not_meet(deploy: Deploy, enforced: frozenset[str]) -> None:
    if "network" not in enforced:
        return
    name = f"sesame-{uuid.uuid4().hex}"
    one, other = deploy(network="loopback"), deploy(network="loopback")
    listening = one.told("listens", label=name)
    assert listening["own"] == {"tcp": "done", "abstract": "done"}
    told = other.told("connects", addresses={"tcp": ["127.0.0.1", listening["port"]], "abstract": f"@{name}"})
    assert told["tcp"] == "ECONNREFUSED"
    assert told["abstract"] in ("EPERM", "ECONNREFUSED")


def test_a_services_sockets_answer_no_function(hostile: Hostile, enforced: frozenset[str], tmp_path: Path) -> None:
    """Its path is not there. Its TCP port is, on the host's network, and wants the token before anything else."""
    token, path = tmp_path / "token", tmp_path / "service.sock"
    token.write_text("t" * 64)
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
    command = [
        sys.executable,
        "-P",
        "-m",
        "engine",
        "serve",
        "--http",
        "none",
        "--data",
        str(tmp_path / "data"),
        "--socket",
        str(path),
    ]
    command += ["--tcp", "127.0.0.1:0", "--token-file", str(token)]
    command += ["--tls-cert", str(tmp_path / "tls.pem"), "--tls-key", str(tmp_path / "tls.pem")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service:
        assert service.stdout is not None
        try:
            line = service.stdout.readline()
            ports = re.findall(r"127\.0\.0\.1:(\d+)", line)
            assert ports, line + service.stdout.readline()
            assert path.exists()
            told = hostile.told("connects", addresses={"path": str(path), "name": f"@{path}"})
            if enforced & {"files", "file access"}:
                assert told["path"] in ("ENOENT", "EACCES")
            assert told["name"] in ("ECONNREFUSED", "EPERM")
            words = b"GET / HTTP/1.1\r\n\r\n".hex()
            answer = bytes.fromhex(hostile.told("asks_service", port=int(ports[0]), words=words))
            assert answer[:1] in (b"", b"\x15")  # nothing, or a TLS alert
        finally:
            service.send_signal(signal.SIGTERM)

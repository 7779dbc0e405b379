"""Streams over TCP with TLS, where bytes are moved by an asyncio transport."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from doors import DOORS
from servers import service
from ways import Way, remote

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of CA certificates; beside it a certificate for localhost, its key, and a token."""
    folder, made = tmp_path_factory.mktemp("tls"), trustme.CA()
    issued = made.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    made.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "token").write_text("secret\n")
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def secure(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service on TCP."""
    named = {"--tls-cert": "chain.pem", "--tls-key": "key.pem", "--token-file": "token"}
    options = [text for option, file in named.items() for text in (option, str(authority.with_name(file)))]
    with service(tmp_path_factory.mktemp("secure"), "--tcp", "127.0.0.1:0", *options) as (_, tcp):
        yield tcp.replace("127.0.0.1", "localhost")


@pytest.fixture(params=DOORS)
def way(request: pytest.FixtureRequest, secure: str, authority: Path) -> Iterator[Way]:
    with ExitStack() as held:
        made = remote(request.param, secure, held, token="secret", tls=authority)
        yield made
        made.clear()


def test_a_long_stream_comes_whole_beside_calls(way: Way) -> None:
    name, plain = way.deploy("bulk"), way.deploy("plain")
    stream, got = way.stream(name, {"length": 20 * MIB, "piece": 10_000}), b""
    while chunk := stream.next():
        got += chunk
        if len(got) % 7 == 0:
            assert way.invoke(plain, len(got)).json() == len(got)
    assert (len(got), stream.result.outcome) == (20 * MIB, "ok")
    assert got[10_000 * 1_000 :][:8] == (10_000 * 1_000).to_bytes(8, "big")


def test_a_stream_that_is_closed_leaves_the_connection_to_the_rest(way: Way) -> None:
    name, plain = way.deploy("closes"), way.deploy("plain")
    for number in range(3):
        stream = way.stream(name)
        assert set(stream.next()) == {ord("x")}
        stream.close()
        assert way.invoke(plain, number).json() == number

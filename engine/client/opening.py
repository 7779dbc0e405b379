"""F2: what both clients know before there is a connection: where to, by which TLS, and how often to try."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .. import errors
from ..wire.address import Address, parse_address

InvocationType: TypeAlias = Literal["RequestResponse", "DryRun", "Event"]
Tls: TypeAlias = "ssl.SSLContext | str | os.PathLike[str] | None"
# Waits before each attempt to reconnect; the first connection of all is tried once.
BACK_OFF_S: Final = (0.0, 0.02, 0.1, 0.3, 0.6)
CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a client connects to, and how."""

    address: Address
    token: str | None
    tls: ssl.SSLContext | None
    reconnect: bool

    @property
    def server_name(self) -> str | None:
        return self.address.host if self.tls is not None else None

    def unreachable(self, attempts: int, cause: Exception) -> errors.ConnectionLostError:
        why = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
        often = f" after {attempts} attempts" if attempts > 1 else ""
        return errors.ConnectionLostError(
            f"no engine can be reached at {self.address}{often}: {why}. Is one serving there? `engine serve` starts one"
        )

    def not_again(self) -> errors.ConnectionLostError:
        return errors.ConnectionLostError(f"the connection to {self.address} was lost, and reconnect=False")


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Since the client was opened: calls sent, answers taken, answers that nobody waited for any more, connections
    made; and calls that wait for their answer now."""

    calls: int
    answers: int
    passed_over: int
    connections: int
    outstanding: int


def destination(address: str | os.PathLike[str] | None, token: str | None, tls: Tls, reconnect: bool) -> Destination:
    """Read the arguments of `connect`. Raises InvalidParameterValueException."""
    parsed = parse_address(address)
    if parsed.path and (tls is not None or token is not None):
        raise errors.InvalidParameterValueException(
            f"{parsed} takes neither token nor tls: a unix socket knows its peer; both are for tcp:host:port"
        )
    if tls is None or isinstance(tls, ssl.SSLContext):
        return Destination(parsed, token, tls, reconnect)
    try:
        context = ssl.create_default_context(cafile=os.fspath(tls))
    except OSError as error:
        raise errors.InvalidParameterValueException(
            f"tls={os.fspath(tls)!r} is not a file of CA certificates: {error.strerror or error}"
        ) from error
    return Destination(parsed, token, context, reconnect)

"""F6: how commands reach a running service: their common options, and errors as a shell's user reads them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from .. import errors
from ..client.blocking import Client, connect
from .show import show_progress


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is, and how to be let in."""

    address: str | None
    token_file: str | None
    tls_ca: str | None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the length of the block; whatever the engine refuses ends the command with its message."""
        with told_errors():
            token = None if self.token_file is None else Path(self.token_file).read_text().strip()
            with connect(self.address, token=token, tls=self.tls_ca, progress=show_progress) as client:
                yield client


def on_service(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a service, as its argument `service`."""

    @click.option("--socket", "address", metavar="ADDR", help="unix:/PATH, tcp:HOST:PORT or a path; $ENGINE_SOCKET.")
    @click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="For TCP: a file with the token.")
    @click.option("--tls-ca", type=click.Path(exists=True, dir_okay=False), help="For TCP: trusted certificates, PEM.")
    @functools.wraps(command)
    def with_service(*given: Any, address: str | None, token_file: str | None, tls_ca: str | None, **named: Any) -> Any:
        return command(*given, service=Service(address, token_file, tls_ca), **named)

    return with_service


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@contextmanager
def told_errors() -> Iterator[None]:
    """The engine's own errors become one line on standard error and exit status 1."""
    try:
        yield
    except errors.EngineError as error:
        reason = getattr(error, "reason", None)
        kind = getattr(error, "type", type(error).__name__)
        raise click.ClickException(f"{kind}: {error}" + (f" ({reason})" if reason else "")) from error

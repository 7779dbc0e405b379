"""F6: `engine serve`: the service from the command line, with its doors: sockets and HTTP."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Final

import click

from .. import config, errors
from ..rest.launch import WORKERS_MAX, HttpDoor
from ..rpc.service import DRAIN_S, ServiceSettings, TcpDoor, run
from ..settings import CHOICES, EPHEMERAL_STORAGES, default_data_dir, default_socket

HTTP_DEFAULT: Final = "127.0.0.1:3001"


@click.command()
@click.option("--data", "data_dir", default=None, metavar="DIR", help="Where functions, code and the bill are kept.")
@click.option("--socket", "socket_path", default=None, metavar="PATH", help="The unix socket; $ENGINE_SOCKET.")
@click.option(
    "--http", default=HTTP_DEFAULT, show_default=True, metavar="HOST:PORT", help="Lambda's REST API; or none."
)
@click.option("--http-workers", type=click.IntRange(1, WORKERS_MAX), default=1, show_default=True, help="Processes.")
@click.option("--tcp", default=None, metavar="HOST:PORT", help="Serve TCP too: takes the three options below.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="The certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The certificate's private key, PEM.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="Holds the token clients must show.")
@click.option("--sandbox", type=click.Choice(CHOICES["sandbox"]), default="auto", show_default=True)
@click.option("--scaling", type=click.Choice(CHOICES["scaling"]), default="adaptive", show_default=True)
@click.option("--cpu", type=click.Choice(CHOICES["cpu"]), default="lambda", show_default=True)
@click.option("--network", type=click.Choice(config.NETWORKS), help="For functions that do not say so; else as Engine.")
@click.option("--ephemeral-storage", type=click.Choice(EPHEMERAL_STORAGES), help="What /tmp is; else as Engine.")
@click.option("--account-concurrency", type=int, default=config.ACCOUNT_CONCURRENCY, show_default=True)
@click.option("--keep-alive", type=float, default=config.KEEP_ALIVE_S, show_default=True, help="Seconds.")
@click.option(
    "--keep-alive-policy", type=click.Choice(CHOICES["keep_alive_policy"]), default="fixed", show_default=True
)
@click.option("--eviction", type=click.Choice(CHOICES["eviction"]), default=config.EVICTION, show_default=True)
@click.option("--memory-budget", type=int, default=None, metavar="MB", help="For all environments; none: the host's.")
@click.option("--ledger-bytes", type=int, default=config.LEDGER_BYTES, show_default=True, help="Of records on disk.")
@click.option("--aws-endpoint-url", metavar="URL", help="Where results of events go; else AWS, or $AWS_ENDPOINT_URL.")
@click.option("--region", default=config.REGION_DEFAULT, show_default=True)
@click.option("--account-id", default=config.ACCOUNT_ID_DEFAULT, show_default=True, help="Twelve digits, for ARNs.")
@click.option("--drain", type=click.FloatRange(0), default=DRAIN_S, show_default=True, help="Seconds SIGTERM waits.")
def serve(
    data_dir: str | None,
    socket_path: str | None,
    http: str,
    http_workers: int,
    tcp: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    token_file: str | None,
    sandbox: str,
    scaling: str,
    cpu: str,
    network: str | None,
    ephemeral_storage: str | None,
    account_concurrency: int,
    keep_alive: float,
    keep_alive_policy: str,
    eviction: str,
    memory_budget: int | None,
    ledger_bytes: int,
    aws_endpoint_url: str | None,
    region: str,
    account_id: str,
    drain: float,
) -> None:
    """Run the engine as a service, until SIGTERM or SIGINT.

    Says one line on standard output once it serves. SIGTERM takes no more requests, waits for what runs, and exits with
    0; with 1 where something still ran when the time was over.
    """
    settings = ServiceSettings(
        engine={
            "data_dir": data_dir or default_data_dir(),
            "sandbox": sandbox,
            "scaling": scaling,
            "cpu": cpu,
            "network": network,
            "ephemeral_storage": ephemeral_storage,
            "account_concurrency": account_concurrency,
            "keep_alive_s": keep_alive,
            "keep_alive_policy": keep_alive_policy,
            "eviction": eviction,
            "memory_budget_mb": memory_budget,
            "ledger_bytes": ledger_bytes,
            "aws_endpoint_url": aws_endpoint_url,
            "region": region,
            "account_id": account_id,
        },
        socket_path=os.path.abspath((socket_path or default_socket()).removeprefix("unix:")),
        tcp=None if tcp is None else _tcp_door(tcp, tls_cert, tls_key, token_file),
        drain_s=drain,
        http=None
        if http == "none"
        else HttpDoor(*_host_and_port(http, "--http"), http_workers, region, account_id, drain, aws_endpoint_url),
    )
    try:
        drained = run(settings, lambda line: click.echo(line))
    except (errors.EngineError, OSError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if drained else 1)


def _tcp_door(address: str, cert: str | None, key: str | None, token_file: str | None) -> TcpDoor:
    host, port = _host_and_port(address, "--tcp")
    if cert is None or key is None or token_file is None:
        raise click.UsageError("--tcp takes --tls-cert, --tls-key and --token-file: nobody is served without them")
    token = Path(token_file).read_text().strip()
    if not token:
        raise click.BadParameter(f"{token_file} is empty", param_hint="--token-file")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise click.BadParameter(f"{cert} and {key} cannot be used: {error}", param_hint="--tls-cert") from error
    return TcpDoor(host, port, tls, token)


def _host_and_port(address: str, option: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{address!r} is not HOST:PORT", param_hint=option)
    return host.strip("[]"), int(port)

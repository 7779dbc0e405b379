"""A service with its gateway, for tests that speak to it as AWS's own tools do. Fixtures are `conftest`'s."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config
from servers import service

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/execution_role"
CREDENTIALS = {"aws_access_key_id": "a-key", "aws_secret_access_key": "a-secret"}
PATIENCE_S = 60


class Gateway:
    """Where a service serves: `url` for HTTP, `socket` for the protocol; and clients of it."""

    def __init__(self, addresses: list[str]) -> None:
        self.socket = next(each for each in addresses if each.startswith("unix:"))
        self.url = next(each for each in addresses if each.startswith("http:"))
        self.port = int(self.url.rpartition(":")[2])
        self._clients: list[Any] = []

    def boto3(self, name: str = "lambda", **settings: Any) -> Any:
        """A client of boto3's that tries everything once, and leaves it to the service what to refuse."""
        config = Config(
            retries={"total_max_attempts": 1}, read_timeout=PATIENCE_S, parameter_validation=False, **settings
        )
        session = boto3.session.Session(region_name=REGION, **CREDENTIALS)
        client = session.client(name, endpoint_url=self.url, config=config)
        client.meta.events.register("after-call.lambda.Invoke", _read_whole)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """End the connections of boto3's clients, which would otherwise wait for the garbage collector."""
        for client in self._clients:
            client.close()

    def deploy(self, name: str, code: Mapping[str, str] | str, handler: str = "app.handler", **settings: Any) -> Any:
        """A function of a file or of files by name."""
        files = {"app.py": code} if isinstance(code, str) else code
        given = {"Runtime": "python3.11", "Role": ROLE, "Handler": handler, "Timeout": 30, **settings}
        return self.boto3().create_function(FunctionName=name, Code={"ZipFile": zipped(files)}, **given)

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """curl with a path of this gateway as the last argument."""
        *options, path = arguments
        command = ["curl", "-sS", "--max-time", str(PATIENCE_S), *options, self.url + path]
        return subprocess.run(command, capture_output=True, text=True, check=True)


def _read_whole(parsed: dict[str, Any], **_: object) -> None:
    """An answer that a test does not read must not leave its connection to the garbage collector."""
    if "Payload" in parsed:
        parsed["Payload"] = io.BytesIO(parsed["Payload"].read())


def zipped(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


@contextmanager
def gateway(folder: Path, *options: str, stderr: IO[str] | None = None) -> Iterator[Gateway]:
    """A service with a gateway on a port that the system chose; it ends with the block, and must end well."""
    with service(folder, "--http", "127.0.0.1:0", *options, stderr=stderr) as addresses:
        here = Gateway(addresses)
        try:
            yield here
        finally:
            here.close()

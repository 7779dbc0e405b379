"""Callers of function URLs, for tests."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Mapping
from typing import Any

from gateways import PATIENCE_S, Gateway


class Url:
    """A function's URL and the ways to ask it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.host, _, port = self.url.removeprefix("http://").partition(":")
        self.port = int(port)

    def curl(self, *arguments: str) -> str:
        """curl's output for a path of the URL, which is the last argument: curl finds `*.localhost` by itself."""
        *options, path = arguments
        command = ["curl", "-sS", "--max-time", str(PATIENCE_S), *options, self.url + path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request by Python's own client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Host": f"{self.host}:{self.port}", **(headers or {})})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def event(self, path: str = "/echo", **given: Any) -> Any:
        """What the function gets."""
        answer, body = self.ask(path, **given)
        assert answer.status == 200, body
        return json.loads(body)


def make(served: Gateway, name: str, code: str, **settings: Any) -> Url:
    """A function and its URL. settings: of CreateFunctionUrlConfig."""
    served.deploy(name, code)
    made = served.boto3().create_function_url_config(FunctionName=name, **{"AuthType": "NONE", **settings})
    return Url(made["FunctionUrl"])

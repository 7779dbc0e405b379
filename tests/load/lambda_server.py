"""Lambda's REST `Invoke` as far as the generator needs it: a real HTTP server whose functions answer by their names."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPORT = "REPORT RequestId: r\tDuration: 4.2 ms\tBilled Duration: 105 ms\tMemory Size: 512 MB\tMax Memory Used: 9 MB\t"


class LambdaServer(ThreadingHTTPServer):
    """requests: the headers of each, with its path. connections: how many were made."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128  # a connection that finds no room is tried again after a second only

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LambdaServer

    def do_POST(self) -> None:
        event = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), event))
        name = self.path.split("/")[3]
        if name == "broken":
            self.close_connection = True
        elif name == "fail":
            self._answer(200, b'{"errorType": "KeyError"}', {"X-Amz-Function-Error": "Unhandled"})
        elif name == "busy":
            self._answer(429, json.dumps({"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}).encode())
        elif name == "echo":
            self._answer(200, event, self._log())
        else:
            self._answer(404, b'{"Message": "no"}', {"x-amzn-ErrorType": "ResourceNotFoundException:http://aws/"})

    def _log(self) -> dict[str, str]:
        if self.headers.get("X-Amz-Log-Type") != "Tail":
            return {}
        cold = "Init Duration: 100.00 ms\t" if len(self.server.requests) == 1 else ""
        return {"X-Amz-Log-Result": base64.b64encode(f"START\nEND\n{REPORT}{cold}\n".encode()).decode()}

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is the test's."""


@contextmanager
def running() -> Iterator[LambdaServer]:
    server = LambdaServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

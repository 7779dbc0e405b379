"""F5: Lambda's REST interface under load: `Invoke` over kept-alive connections, signed as AWS wants it."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session

from .. import errors
from .targets import FAILURES, Invoke, check_local

SIGNED_FOR_S: Final = 60.0  # AWS takes a signature for five minutes
SIGNATURES_MAX: Final = 1_024  # held at once; the oldest goes
TIMEOUT_S: Final = 910.0  # Lambda's longest invocation and a little
REPORT: Final = re.compile(r"Billed Duration: (\d+) ms\s+Memory Size: (\d+) MB")
LOCAL_CREDENTIALS: Final = Credentials("test", "test")  # what local Lambda tools take


class EndpointRefusal(errors.LambdaError):
    """A refusal whose name the engine does not know."""

    def __init__(self, name: str, message: str, reason: str | None) -> None:
        super().__init__(message, reason=reason)
        self._name = name

    @property
    def type(self) -> str:
        return self._name


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """An answer over HTTP. What only the log tells is None, or "unknown", where no log was asked for."""

    payload: bytes
    function_error: str | None
    start: str
    billed_ms: int | None
    memory_mb: int | None


class Endpoint:
    """Functions at a REST endpoint, by name. `log_tail` asks for each log's end, which has the bill and cold starts."""

    failures: tuple[type[Exception], ...] = (*FAILURES, aiohttp.ClientError)
    cpu_of = "unknown: not a process that the generator knows"

    def __init__(
        self, url: str, functions: Sequence[str], *, region: str, log_tail: bool = False, allow_remote: bool = False
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an endpoint: write http://HOST:PORT")
        check_local(parts.hostname, allow_remote)
        self._base = url.rstrip("/")
        self._local = not allow_remote
        self._region = region
        self._headers = {"Content-Type": "application/json", **({"X-Amz-Log-Type": "Tail"} if log_tail else {})}
        self._signed: OrderedDict[tuple[str, bytes], tuple[float, Mapping[str, str]]] = OrderedDict()
        self.names = list(functions)
        self._urls = {name: f"{self._base}/2015-03-31/functions/{quote(name)}/invocations" for name in functions}
        self.title = f"REST endpoint {self._base}"
        self.invoke: Invoke = self._invoke

    async def __aenter__(self) -> Endpoint:
        self._signer = SigV4Auth(_credentials(self._local), "lambda", self._region)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            skip_auto_headers=("User-Agent",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def cpu_s(self) -> float | None:
        return None

    async def _invoke(self, name: str, payload: bytes) -> EndpointAnswer:
        headers = self._sign(name, payload)
        async with self._session.post(
            self._urls[name], data=payload, headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            if not 200 <= response.status < 300:
                raise refusal(response.status, response.headers, body)
            return answer(response.headers, body)

    def _sign(self, name: str, payload: bytes) -> Mapping[str, str]:
        """Signing takes longer than a call: a signature is used again for the same bytes while it is young."""
        now_s, key = time.monotonic(), (name, payload)
        signed_s, headers = self._signed.get(key, (-SIGNED_FOR_S, {}))
        if now_s - signed_s < SIGNED_FOR_S:
            return headers
        request = AWSRequest("POST", self._urls[name], headers=dict(self._headers), data=payload)
        self._signer.add_auth(request)
        headers = dict(request.headers.items())
        self._signed[key] = (now_s, headers)
        self._signed.move_to_end(key)
        if len(self._signed) > SIGNATURES_MAX:
            self._signed.popitem(last=False)
        return headers


def answer(headers: Mapping[str, str], body: bytes) -> EndpointAnswer:
    """From an answer with status 2xx; the REPORT line in its log tail, where there is one, has the bill."""
    start, billed_ms, memory_mb = "unknown", None, None
    if tail := headers.get("X-Amz-Log-Result"):
        log = base64.b64decode(tail).decode("utf-8", "replace")
        if report := REPORT.search(log):
            billed_ms, memory_mb = int(report[1]), int(report[2])
            start = "cold" if "Init Duration:" in log[report.end() :] else "warm"
    return EndpointAnswer(body, headers.get("X-Amz-Function-Error"), start, billed_ms, memory_mb)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> errors.LambdaError:
    """The exception for an answer that is not 2xx: Lambda's own name, or the status where there is none."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    said = document if isinstance(document, dict) else {}
    named = headers.get("x-amzn-ErrorType") or said.get("__type") or said.get("code") or f"HTTP {status}"
    name = str(named).partition(":")[0].rpartition("#")[2]
    message = str(said.get("message") or said.get("Message") or f"status {status}")
    known = getattr(errors, name, None)
    if isinstance(known, type) and issubclass(known, errors.LambdaError):
        return known(message, reason=said.get("Reason"))
    if status == errors.TooManyRequestsException.status_code:
        return errors.TooManyRequestsException(message, reason=said.get("Reason"))
    return EndpointRefusal(name, message, said.get("Reason"))


def _credentials(local: bool) -> Credentials:
    """AWS_ACCESS_KEY_ID and its like; else test credentials on this host, and AWS's usual places for others."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN"))
    if local:
        return LOCAL_CREDENTIALS
    found = Session().get_credentials()
    if found is None:
        raise errors.EngineError("no AWS credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return found

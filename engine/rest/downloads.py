"""F5: zips of functions and layers by URL, where Lambda's answers have an address in S3 for them."""

from __future__ import annotations

import base64
import logging
import re
from typing import Final

from ..client.asynchronous import Client
from ..errors import EngineError
from .asgi import Scope, Send
from .call import Call

PATH: Final = re.compile(rb"/_code/([0-9a-f]{64})\.zip")

log = logging.getLogger("engine.rest")


def code_location(call: Call, sha256: str) -> str:
    """Where the zip of this CodeSha256 can be fetched, by the name under which the caller knows the gateway."""
    return f"http://{call.host}/_code/{base64.b64decode(sha256).hex()}.zip"


def asked_code(scope: Scope) -> str | None:
    """The CodeSha256 that a request wants the zip of; None where it wants something else."""
    found = PATH.fullmatch(scope["raw_path"]) if scope["method"] in ("GET", "HEAD") else None
    return None if found is None else base64.b64encode(bytes.fromhex(found[1].decode())).decode()


async def send_code(client: Client, sha256: str, scope: Scope, send: Send) -> None:
    """The zip, in parts. Raises ResourceNotFoundException where no function or layer has it."""
    part = await client.read_code(sha256)
    headers = [(b"content-type", b"application/zip")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    offset = 0
    try:
        while part and scope["method"] == "GET":
            await send({"type": "http.response.body", "body": part, "more_body": True})
            offset += len(part)
            part = await client.read_code(sha256, offset)
    except EngineError as error:  # it was deleted meanwhile: an answer without its end is one that every client doubts
        log.warning("the zip of %s breaks off: %s", sha256, error)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})

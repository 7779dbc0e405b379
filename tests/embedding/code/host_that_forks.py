"""A host program: a child forked from it unwinds and ends as a whole interpreter. Prints what became of both."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from engine import errors
from engine.sync import Engine


def refusals(engine: Engine) -> int:
    """In the child: how many uses of the engine are refused."""
    refused = 0
    for use in (lambda: engine.invoke("stream"), engine.list_functions, lambda: engine.delete_function("stream")):
        try:
            use()
        except errors.ForeignProcessError:
            refused += 1
    return refused


def main() -> None:
    told, tell = os.pipe()
    with Engine() as engine:
        engine.create_function("stream", code=Path(__file__).parent, handler="hosted.tells_its_stream")
        stream = engine.invoke("stream").json()
        folder = engine._engine._control._temporary
        child = os.fork()
        if child == 0:
            os.write(tell, str(refusals(engine)).encode())
            sys.exit(0)  # through `with`
        status = os.waitpid(child, 0)[1]
        result = engine.invoke("stream")
        answer = {
            "child": status,
            "refused": int(os.read(told, 10)),
            "folder": folder.is_dir(),
            "same": result.json() == stream,
            "after": result.function_error,
        }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()

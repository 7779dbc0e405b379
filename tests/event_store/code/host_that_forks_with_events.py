"""A host with an engine in DATA_DIR that has accepted an event; says which processes keep events and which it forked.

The forked child lives until its standard input ends, whatever becomes of the host.
"""

from __future__ import annotations

import json
import os
import sys

from engine.sync import Engine


def main() -> None:
    with Engine(data_dir=sys.argv[1]) as engine:
        engine.create_function("f", code=sys.argv[2], handler="app.handler")
        engine.invoke("f", 1, invocation_type="Event")
        child = os.fork()
        if child == 0:
            sys.stdin.read()
            os._exit(0)
        sys.stdout.write(json.dumps([engine._engine.events._keeper.pid, child]) + "\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

"""A host with an engine in DATA_DIR: deploys version after version of `f`, printing each, until it is killed.

With `fork` it first forks a child that lives until its standard input ends, whatever becomes of the host.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from engine.sync import Engine

CODE = Path(__file__).parent / "numbered.py"


def main() -> None:
    with Engine(data_dir=sys.argv[1]) as engine:
        if "fork" in sys.argv and os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        if not engine.list_functions():
            engine.create_function("f", code=CODE, handler="numbered.handler", environment={"N": "0"})
        number = int(engine.get_function("f").environment["N"])
        while True:
            number += 1
            made = engine.update_function_configuration("f", environment={"N": str(number)})
            sys.stdout.write(json.dumps([number, made.revision_id]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

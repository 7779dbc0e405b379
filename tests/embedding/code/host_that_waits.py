"""A host program: opens an engine, says which processes and folder it has, then waits to be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.sync import Engine

with Engine() as engine:
    engine.create_function("pid", code=Path(__file__).parent, handler="hosted.tells_its_pid")
    pid = engine.invoke("pid").json()
    supervisor = engine._engine._supervisor
    folder = str(engine._engine._control._temporary)
    sys.stdout.write(json.dumps({"environment": pid, "zygote": supervisor.births.zygote.pid, "folder": folder}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()

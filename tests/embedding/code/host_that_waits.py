"""A host program: opens an engine, says which processes and folder it has, then waits to be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil

from engine.sync import Engine

with Engine() as engine:
    engine.create_function("echoes", code=Path(__file__).parent, handler="hosted.echoes")
    engine.invoke("echoes")
    folder = str(engine._engine._control._temporary)
    family = [process.pid for process in psutil.Process().children(recursive=True)]
    sys.stdout.write(json.dumps({"processes": family, "folder": folder}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()

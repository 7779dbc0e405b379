"""A host with an engine in DATA_DIR that provisions version 1 of `f` through its alias, says so, and waits."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.sync import Engine

with Engine(data_dir=sys.argv[1]) as engine:
    engine.create_function("f", code=Path(__file__).with_name("ahead.py"), handler="ahead.tells", memory_mb=1_024)
    engine.publish_version("f")
    engine.create_alias("f", "live", "1")
    engine.put_provisioned_concurrency_config("f", "live", 2)
    print("provisioned", flush=True)
    sys.stdin.read()

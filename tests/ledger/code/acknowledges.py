"""A host under load: says of every answer that it got what the ledger says of itself, until it is killed.

Arguments: data folder, name of the function. A line of output: request id, sequence number after its record, sequence
number up to which the ledger says that records are durable, CLOCK_MONOTONIC in ns.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from engine import Engine

CALLERS = 8


async def call(engine, journal, name):
    while True:
        result = await engine.invoke(name, {"n": 1})
        told = f"{result.request_id} {journal.appended} {journal.settled} {time.monotonic_ns()}\n"
        os.write(1, told.encode())


async def main():
    data_dir, name = sys.argv[1:]
    async with Engine(data_dir) as engine:
        code = Path(__file__).with_name("echo.py")
        await engine.create_function(name, code=code, handler="echo.handler", memory_mb=1769)
        await asyncio.gather(*[call(engine, engine._control.ledger.journal, name) for _ in range(CALLERS)])


asyncio.run(main())

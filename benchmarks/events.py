"""Events: how many the service accepts, beside as many synchronous calls, and what the disk allows at most."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgpack
import uvloop
from rich.console import Console
from rich.table import Table

from engine import Engine
from engine.store.event_db import EventDb

from . import traffic
from .codecs import AcceptedDialogue, MessagePackRpc
from .comparison import Verdict
from .contenders.engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .contenders.engine_socket import ANSWER_S, EngineSocket
from .contract import Bound
from .figures import percentile
from .report import Stamp, show_stamp, targets_table
from .work import CODE, PAYLOAD

IN_FLIGHT: Final = 64
LEAST_SHARE: Final = 1 / 3  # of the synchronous calls a second, with as many in flight
WARM_UP_SHARE: Final = 0.3
DRAIN_S: Final = 120.0
ROW: Final = (1, 0, 0, 1_800_000_000_000, b"x" * 16, b"", PAYLOAD)


@dataclass(frozen=True, slots=True)
class Settings:
    rounds: int = 5
    seconds: float = 2.0


SMOKE: Final = Settings(1, 0.1)


@dataclass(slots=True)
class Round:
    """Rates a second; latencies in microseconds, from the request to the answer that the event is on disk.

    each_…: `IN_FLIGHT` connections with one call each; without, as many in flight on one connection.
    run_per_s: until all that were accepted had run, from the first request. disk_per_s: transactions that write
    `IN_FLIGHT` events and remove as many, by SQLite alone in this process, in events a second. embedded_…: accepted by
    an engine in this process, with a data folder and without one, which is what durability takes.
    """

    each_sync_per_s: float
    each_accepted_per_s: float
    sync_per_s: float
    accepted_per_s: float
    run_per_s: float
    p50_us: float
    p99_us: float
    alone_p50_us: float
    alone_p99_us: float
    disk_per_s: float
    embedded_disk_per_s: float
    embedded_memory_per_s: float


@dataclass(slots=True)
class Measured:
    rounds: list[Round] = field(default_factory=list)

    def median(self, key: str) -> float:
        return float(median(getattr(each, key) for each in self.rounds))


def measure(settings: Settings, say: Callable[[str], None]) -> Measured:
    measured = Measured()
    for number in range(settings.rounds):
        say(f"round {number + 1} of {settings.rounds}")
        measured.rounds.append(_round(settings.seconds))
    return measured


def _round(seconds: float) -> Round:
    bound, glance = Bound(seconds), Bound(seconds * WARM_UP_SHARE)
    service = EngineSocket()
    service.open()
    try:
        service.warm_up()
        each = [traffic.Connection(connection.socket, _events()) for connection in service.connections[:IN_FLIGHT]]
        events = each[1]
        service.pipeline(IN_FLIGHT, glance)
        _timed(events, IN_FLIGHT, glance)
        _drained(service)
        each_sync_per_s = _rate(lambda: service.flood(IN_FLIGHT, bound))
        each_accepted_per_s = _rate(lambda: traffic.one_each(each, bound))
        _drained(service)
        sync_per_s = _rate(lambda: service.pipeline(IN_FLIGHT, bound))
        start = time.perf_counter()
        samples = _timed(events, IN_FLIGHT, bound)
        accepted_s = time.perf_counter() - start
        _drained(service)
        run_s = time.perf_counter() - start
        alone = _timed(events, 1, bound)
        _drained(service)
    finally:
        service.close()
    return Round(
        each_sync_per_s,
        each_accepted_per_s,
        sync_per_s,
        accepted_per_s=len(samples) / accepted_s,
        run_per_s=len(samples) / run_s,
        p50_us=percentile(samples, 0.50) / 1e3,
        p99_us=percentile(samples, 0.99) / 1e3,
        alone_p50_us=percentile(alone, 0.50) / 1e3,
        alone_p99_us=percentile(alone, 0.99) / 1e3,
        disk_per_s=_disk(seconds),
        embedded_disk_per_s=_embedded(seconds, durable=True),
        embedded_memory_per_s=_embedded(seconds, durable=False),
    )


def _events() -> AcceptedDialogue:
    return MessagePackRpc(FUNCTION, PAYLOAD, None, {"invocation_type": "Event"}).accepted()


def _rate(send: Callable[[], int]) -> float:
    start = time.perf_counter()
    return send() / (time.perf_counter() - start)


def _timed(connection: traffic.Connection, window: int, bound: Bound) -> list[int]:
    """Nanoseconds of each request of `window` in flight. Events of one connection are answered in order."""
    sock, dialogue = connection.socket, connection.dialogue
    deadline_ns = time.perf_counter_ns() + int(bound.seconds * 1e9)
    sent = [time.perf_counter_ns()] * window
    samples: list[int] = []
    sock.sendall(dialogue.requests(window))
    while sent:
        count = dialogue.completed(traffic.some(sock.recv(traffic.RECEIVE_BYTES)))
        now_ns = time.perf_counter_ns()
        samples += [now_ns - each for each in sent[:count]]
        del sent[:count]
        if count and now_ns < deadline_ns:
            sent += [now_ns] * count
            sock.sendall(dialogue.requests(count))
    return samples


def _drained(service: EngineSocket) -> None:
    """Until all that was accepted has run."""
    with service.connect() as connection:
        connection.settimeout(ANSWER_S)
        deadline = time.monotonic() + DRAIN_S
        while _depth(connection):
            if time.monotonic() > deadline:
                raise TimeoutError(f"events are left after {DRAIN_S:g} s")
            time.sleep(0.001)


def _depth(connection: Any) -> int:
    connection.sendall(msgpack.packb([0, 1, "stats", []]))
    answer = msgpack.Unpacker(raw=False)
    while not (received := list(answer)):
        answer.feed(traffic.some(connection.recv(traffic.RECEIVE_BYTES)))
    depth: int = received[0][3]["events"]["depth"]
    return depth


def _disk(seconds: float) -> float:
    """What SQLite gives, with nobody to wait for it."""
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as folder:
        store = EventDb(Path(folder) / "events.db")
        try:
            store.opening()
            for_warmth = _writes(store, 0, seconds * WARM_UP_SHARE)
            start = time.perf_counter()
            written = _writes(store, for_warmth, seconds) - for_warmth
            return written / (time.perf_counter() - start)
        finally:
            store.close()


def _embedded(seconds: float, *, durable: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as folder:
        return uvloop.run(_accepted(seconds, folder if durable else None))


async def _accepted(seconds: float, data_dir: str | None) -> float:
    async with Engine(data_dir) as engine:
        await engine.create_function(FUNCTION, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        await engine.invoke(FUNCTION, PAYLOAD)
        deadline = time.monotonic() + seconds * WARM_UP_SHARE
        await asyncio.gather(*[_keep_sending(engine, deadline) for _ in range(IN_FLIGHT)])
        start = time.monotonic()
        counts = await asyncio.gather(*[_keep_sending(engine, start + seconds) for _ in range(IN_FLIGHT)])
        rate = sum(counts) / (time.monotonic() - start)
        while (await engine.stats())["events"]["depth"]:
            await asyncio.sleep(0.01)
        return rate


async def _keep_sending(engine: Engine, deadline: float) -> int:
    count = 0
    while time.monotonic() < deadline:
        await engine.invoke(FUNCTION, PAYLOAD, invocation_type="Event")
        count += 1
    return count


def _writes(store: EventDb, last: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        new = range(last + 1, last + IN_FLIGHT + 1)
        store.write([("remove", range(last - IN_FLIGHT + 1, last + 1)), ("append", [(seq, *ROW) for seq in new])])
        last += IN_FLIGHT
    return last


def verdicts(measured: Measured) -> list[Verdict]:
    return [
        _share(measured, f"events accepted, {IN_FLIGHT} connections, one in flight each", "each_"),
        _share(measured, f"events accepted, {IN_FLIGHT} in flight on one connection", ""),
    ]


def _share(measured: Measured, what: str, shape: str) -> Verdict:
    accepted, sync = measured.median(f"{shape}accepted_per_s"), measured.median(f"{shape}sync_per_s")
    told = f"{accepted / sync:.2f}x ({accepted:,.0f} / {sync:,.0f} per s)"
    return Verdict(what, "≥ 0.33x synchronous calls", told, accepted >= LEAST_SHARE * sync)


def as_json(measured: Measured, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    return {
        "stamp": stamp,
        "settings": asdict(settings),
        "rounds": [asdict(each) for each in measured.rounds],
        "targets": [asdict(verdict) for verdict in verdicts(measured)],
    }


def show(measured: Measured, stamp: Stamp, console: Console) -> None:
    at = measured.median
    table = Table()
    table.add_column("median over rounds")
    table.add_column("", justify="right")
    table.add_row(f"synchronous calls, {IN_FLIGHT} connections", f"{at('each_sync_per_s'):,.0f} /s")
    table.add_row(f"events accepted, {IN_FLIGHT} connections", f"{at('each_accepted_per_s'):,.0f} /s")
    table.add_row(f"synchronous calls, {IN_FLIGHT} in flight", f"{at('sync_per_s'):,.0f} /s")
    table.add_row(f"events accepted, {IN_FLIGHT} in flight", f"{at('accepted_per_s'):,.0f} /s")
    table.add_row("  until it is on disk, p50 and p99", f"{at('p50_us'):,.0f} and {at('p99_us'):,.0f} µs")
    table.add_row("  accepted and run", f"{at('run_per_s'):,.0f} /s")
    table.add_row(
        "one event after the other, p50 and p99", f"{at('alone_p50_us'):,.0f} and {at('alone_p99_us'):,.0f} µs"
    )
    table.add_row(f"SQLite alone, {IN_FLIGHT} written and {IN_FLIGHT} removed a commit", f"{at('disk_per_s'):,.0f} /s")
    share = at("accepted_per_s") / at("disk_per_s")
    table.add_row("  of which are accepted", f"{share:.0%}")
    disk, memory = at("embedded_disk_per_s"), at("embedded_memory_per_s")
    table.add_row("embedded engine, 64 callers, with a data folder", f"{disk:,.0f} /s")
    table.add_row("  without one", f"{memory:,.0f} /s")
    table.add_row("  lost to durability", f"{1 - disk / memory:.0%}")
    console.print(table)
    console.print(targets_table(verdicts(measured)))
    show_stamp(stamp, console)

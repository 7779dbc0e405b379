"""Benchmarks of single steps: an invocation, a cold start, and the floors under both. Times are shown, never judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from engine._ext.journal import RECORD_BYTES, Journal, Tally
from engine.records.ledger import InvocationLedger
from engine.records.replay import replay
from engine.records.rollups import Position
from engine.records.segment_writer import SEGMENT_BYTES_MAX
from engine.records.segments import Source

from .bare_fork import BareForker
from .contenders import load
from .contenders.engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .contract import Bound
from .work import CODE, PAYLOAD, check, serve

if TYPE_CHECKING:
    from engine.sync import Engine

BATCH: Final = 200  # async invocations per entry into the loop
STARTS: Final = 15  # cold starts per benchmark
RECORDS: Final = 10_000  # within one chunk of the journal


def test_json_and_handler_in_this_process(benchmark: BenchmarkFixture) -> None:
    check(benchmark(serve, PAYLOAD))


@pytest.mark.parametrize("floor", ["eventfd", "eventfd-across"])
def test_eventfd_round_trip(benchmark: BenchmarkFixture, floor: str) -> None:
    contender = load(floor)
    contender.open()
    try:
        benchmark(contender.call)
    finally:
        contender.close()


def test_fork_of_a_bare_interpreter(benchmark: BenchmarkFixture) -> None:
    with BareForker() as forker:
        benchmark(forker.fork)


def test_invoke_blocking(benchmark: BenchmarkFixture, engine: Engine) -> None:
    result = benchmark(engine.invoke, FUNCTION, PAYLOAD)
    check(result.payload)


def test_invoke_async_in_batches(benchmark: BenchmarkFixture) -> None:
    """Time of a whole batch: divide by `batch` for one invocation."""
    contender = load("engine-async")
    contender.open()
    try:
        benchmark.extra_info["batch"] = BATCH
        samples = benchmark(contender.timed, Bound(seconds=10, count=BATCH))
        assert len(samples) == BATCH
    finally:
        contender.close()


def test_deploy_and_first_invocation(benchmark: Any, engine: Engine, numbers: Iterator[int]) -> None:
    def start() -> Any:
        name = f"{FUNCTION}-{next(numbers)}"
        engine.create_function(name, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        return engine.invoke(name, PAYLOAD)

    assert benchmark.pedantic(start, rounds=STARTS).start == "cold"


def test_new_environment_of_a_known_function(benchmark: Any, engine: Engine, numbers: Iterator[int]) -> None:
    """The invocation alone: the update before it, which ends the warm environments, is not counted."""

    def make_cold() -> None:
        engine.update_function_configuration(FUNCTION, environment={"ROUND": str(next(numbers))})

    result = benchmark.pedantic(engine.invoke, args=(FUNCTION, PAYLOAD), setup=make_cold, rounds=STARTS)
    assert result.start == "cold"


def test_ten_thousand_records_into_the_journal(benchmark: Any, engine: Engine) -> None:
    """What an invocation pays for its place in the ledger: divide by 10,000. Taking and counting is not in it."""
    journal, tally = Journal(1 << 40), Tally()
    result = engine.invoke(FUNCTION, PAYLOAD)

    def settle() -> None:
        for chunk in journal.take():
            chunk.count_into(tally)
            journal.settle(chunk)

    benchmark.pedantic(journal.rehearse, args=(result, RECORDS), setup=settle, rounds=200)


def test_sixty_four_megabytes_of_ledger_counted_on_opening(benchmark: Any, engine: Engine, tmp_path: Path) -> None:
    folder, count = tmp_path / "ledger", SEGMENT_BYTES_MAX // RECORD_BYTES
    ledger = InvocationLedger(folder, ledger_bytes=1 << 30, busy=lambda: False)
    ledger.source(Source(FUNCTION, "1", "x86_64", MEMORY_MB, 512, "us-east-1"))
    ledger.journal.rehearse(engine.invoke(FUNCTION, PAYLOAD), count)
    ledger.close()
    replayed = benchmark.pedantic(replay, args=(folder, Position(0, 0, 0)), rounds=5)
    assert sum(use.requests for use in replayed.uses.values()) == count

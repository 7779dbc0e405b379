"""Benchmarks of the data folder: finding a thousand functions again, and one acknowledged change. Never judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

if TYPE_CHECKING:
    from engine.store.storage import Storage

FUNCTIONS: Final = 1_000
REOPENINGS: Final = 10


@pytest.fixture
def storage_at(tmp_path: Path) -> Iterator[Callable[[], Storage]]:
    """Opens the same data folder anew each time it is called; what was open is closed first."""
    from engine.clock import HostClock
    from engine.store.storage import Storage

    opened: list[Storage] = []

    def reopen() -> Storage:
        while opened:
            opened.pop().close()
        settings = {"region": "us-east-1", "account_id": "000000000000"}
        opened.append(Storage(tmp_path, durable=True, clock=HostClock(), account_concurrency=1000, **settings))
        return opened[-1]

    yield reopen
    opened.pop().close()


def deploy(storage: Storage, number: int, code: int) -> None:
    from engine.store.archive import zip_module

    path = storage.root / "app.py"
    path.write_text(f"def handler(event, context):\n    return {code}\n")
    stored = storage.code.put_zip(zip_module(path))
    storage.catalog.create_function(f"f{number}", stored, handler="app.handler", runtime="python3.11")
    storage.code.release(stored)


@pytest.mark.parametrize("bundles", [1, FUNCTIONS])
def test_a_thousand_functions_are_found_again(
    benchmark: BenchmarkFixture, storage_at: Callable[[], Storage], bundles: int
) -> None:
    storage = storage_at()
    for number in range(FUNCTIONS):
        deploy(storage, number, number % bundles)
    found = benchmark.pedantic(storage_at, rounds=REOPENINGS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert len(found.catalog.list_functions()) == FUNCTIONS


def test_an_acknowledged_change(benchmark: BenchmarkFixture, storage_at: Callable[[], Storage]) -> None:
    storage = storage_at()
    deploy(storage, 0, 0)
    benchmark(storage.catalog.update_configuration, "f0", description="changed")

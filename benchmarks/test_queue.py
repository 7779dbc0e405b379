"""Benchmarks of the shared queue alone: no handler, no accounting, no interpreter where it says so. Never judged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

if TYPE_CHECKING:
    from engine._ext.queue_load import Load

BATCH: Final = 1_000  # hand-overs per measured call: divide by it for one
PATIENCE_NS: Final = 10_000_000_000


@pytest.fixture
def load_of() -> Iterator[Callable[..., Load]]:
    """Makes a load that forked environments answer, until the test is over."""
    from engine._ext.linux import create_region
    from engine._ext.queue_load import Load, serve

    fds: list[int] = []
    started: list[tuple[Load, int, int]] = []

    def make(*, environments: int, window: int, spin_us: int) -> Load:
        region_fd, event_fd = create_region("engine-queue-bench"), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        fds.extend((region_fd, event_fd))
        load = Load(region_fd, event_fd, BATCH, window)
        load.allow_spin(spin_us * 1000, environments)
        for env in range(environments):
            load.admit(env)
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(serve(region_fd, env, event_fd))
                finally:
                    os._exit(99)
            started.append((load, env, pid))
        assert load.run(PATIENCE_NS)
        return load

    yield make
    for load, env, pid in started:
        load.retire(env)
        os.waitpid(pid, 0)
    for fd in fds:
        os.close(fd)


def test_publish_claim_finish_drain_in_one_process(benchmark: BenchmarkFixture) -> None:
    """All steps of one hand-over, each one a call from Python."""
    from engine._ext.linux import create_region
    from engine._ext.queue import CoreEnd, EnvironmentEnd

    fd = create_region("engine-queue-bench")
    core = CoreEnd(fd)
    os.close(fd)
    environment = EnvironmentEnd(core.mapping, 0)
    core.admit(0)
    core.disarm()

    def hand_over() -> int:
        core.publish(0, 1)
        environment.finish(environment.claim_next())
        core.take_finished(0)
        slot = core.pop_done(0)
        core.release(0, 1)
        return slot

    assert benchmark(hand_over) == 0


@pytest.mark.parametrize(
    ("environments", "window", "spin_us"),
    [
        pytest.param(1, 1, 100_000, id="ping-pong, both spinning"),
        pytest.param(1, 256, 100_000, id="256 outstanding, both spinning"),
        pytest.param(2, 256, 0, id="256 outstanding, two that never spin"),
    ],
)
def test_hand_overs_between_processes(
    benchmark: BenchmarkFixture, load_of: Callable[..., Load], environments: int, window: int, spin_us: int
) -> None:
    """A batch, without the interpreter on either side: a few hundred bytes each way, every one written and read."""
    load = load_of(environments=environments, window=window, spin_us=spin_us)
    benchmark.extra_info["batch"] = BATCH

    def hand_over_all() -> bool:
        load.more(BATCH)
        return load.run(PATIENCE_NS)

    assert benchmark(hand_over_all)
    assert (load.torn, load.doubled, load.reordered, load.foreign, load.unended) == (0, 0, 0, 0, 0)

"""The queue between real processes: millions of hand-overs, every byte checked, with and without SIGKILL.

Each request's body follows from its number and each answer's from the request, so that a torn, lost, doubled or swapped
one is counted, not guessed (ext/queue_load.pyx). The plain run makes about a million hand-overs; ten million per shape:

    pytest tests/queue/test_stress.py --stress -s
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from engine._ext.linux import create_region
from engine._ext.queue_load import Load, serve

TURN_NS = 2_000_000  # between two looks at whom to kill
STALL_S = 20.0  # without one answer: a wake-up was lost
MILLION = 1_000_000
MISTAKES = ("torn", "doubled", "reordered", "foreign", "unended")


class Crew:
    """One load and the environments, forked from here, that answer it."""

    def __init__(self, total: int, *, environments: int, window: int, spin_us: int) -> None:
        self.region_fd = create_region("engine-queue-stress")
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.load = Load(self.region_fd, self.event_fd, total, window)
        self.load.allow_spin(spin_us * 1000, max(1, (os.cpu_count() or 1) - 1))
        self.pids: dict[int, int] = {}
        self.fates: Counter[str] = Counter()
        for env in range(environments):
            self.start(env)

    def start(self, env: int) -> None:
        self.load.admit(env)
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(serve(self.region_fd, env, self.event_fd))
            finally:
                os._exit(99)
        self.pids[env] = pid

    def bury(self, env: int) -> None:
        """Do what the core does when an environment is gone, and start another in its place."""
        pid = self.pids.pop(env)
        os.kill(pid, signal.SIGKILL)  # where the turn ended before its time had come
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == -signal.SIGKILL, f"environment {env} had ended by itself with {status}"
        settled, failed, again = self.load.bury(env)
        self.fates.update(kills=1, settled=settled, failed=failed, again=again)
        self.start(env)

    def run(self, *, kill: bool = False, seed: int = 0) -> None:
        """Until every request has ended. With `kill`, one environment dies in each turn, amid a full queue."""
        chance = random.Random(seed)
        answered, moved, ended = 0, time.monotonic(), False
        while not ended:
            victim = chance.choice(sorted(self.pids)) if kill else -1
            ended = self.load.run(TURN_NS, self.pids.get(victim, 0), chance.randrange(300))
            assert kill or not self.load.unrung, f"a bell was lost: {self.counts()}"
            if self.load.answered != answered:
                answered, moved = self.load.answered, time.monotonic()
            assert time.monotonic() - moved < STALL_S, f"stalled: {self.counts()}"
            if kill:
                self.bury(victim)

    def counts(self) -> dict[str, int]:
        return {name: getattr(self.load, name) for name in ("answered", "failed", "naps", "unrung", *MISTAKES)}

    def close(self) -> None:
        for env in self.pids:
            self.load.retire(env)
        left = {env: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for env, pid in self.pids.items()}
        self.pids.clear()
        os.close(self.region_fd)
        os.close(self.event_fd)
        assert not any(left.values()), f"environments did not end well: {left}"


@pytest.fixture
def crews() -> Iterator[list[Crew]]:
    made: list[Crew] = []
    yield made
    for crew in made:
        crew.close()


@pytest.fixture
def scale(pytestconfig: pytest.Config) -> float:
    """1 for the plain run; with --stress, what makes ten million of a million."""
    return 10.0 if pytestconfig.getoption("--stress", default=False) else 1.0


def report(crew: Crew, started: float) -> None:
    took = time.monotonic() - started
    sys.stdout.write(f"\n{crew.load.total:,} hand-overs in {took:.1f} s; {crew.counts()}; {dict(crew.fates)}\n")


@pytest.mark.parametrize(
    ("environments", "window", "spin_us", "millions"),
    [
        pytest.param(1, 256, 50, 1, id="one consumer, deep queue"),
        pytest.param(4, 1024, 50, 1, id="four consumers, every slot in use"),
        pytest.param(3, 2, 0, 0.1, id="three consumers that sleep at once"),
        pytest.param(1, 1, 1000, 0.5, id="ping-pong, spinning"),
    ],
)
def test_every_hand_over_arrives_whole_once_and_in_turn(
    crews: list[Crew], scale: float, environments: int, window: int, spin_us: int, millions: float
) -> None:
    started = time.monotonic()
    total = int(millions * scale * MILLION)
    crew = Crew(total, environments=environments, window=window, spin_us=spin_us)
    crews.append(crew)
    crew.run()
    report(crew, started)
    assert crew.load.answered == crew.load.total
    assert {name: count for name, count in crew.counts().items() if name in MISTAKES and count} == {}
    assert crew.load.unrung == 0


@pytest.mark.parametrize("spin_us", [0, 50])
def test_every_request_ends_once_while_environments_are_killed(crews: list[Crew], scale: float, spin_us: int) -> None:
    started = time.monotonic()
    total = int(scale * MILLION)
    crew = Crew(total, environments=6, window=128, spin_us=spin_us)
    crews.append(crew)
    crew.run(kill=True, seed=spin_us)
    report(crew, started)
    assert crew.fates["kills"] > 0
    assert crew.load.failed == crew.fates["failed"] <= crew.fates["kills"]
    assert crew.load.answered + crew.load.failed == total
    assert {name: count for name, count in crew.counts().items() if name in MISTAKES and count} == {}

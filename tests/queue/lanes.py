"""A real lane with a stand-in for its supervisor: environments are played by the test, in this process."""

from __future__ import annotations

import os
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

from kits import forge, put_body

from engine._ext import leaving, repair
from engine._ext.environment import Environment
from engine._ext.journal import Journal
from engine._ext.lane import Lane
from engine._ext.meter import Meter, Quota
from engine._ext.queue import EnvironmentEnd
from engine._ext.scheduler import Scheduler
from engine.states import Outcome

TIMEOUT_S = 3
SECOND_NS = 1_000_000_000
INIT_OK = 1


class Answer:
    """Stands for the caller's future: says how often it was told, and what."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def set_result(self, result: object) -> None:
        self.results.append(result)

    set_exception = set_result


class Book:
    """Stands for the log book. `on_keep` runs where another thread could get in."""

    def __init__(self) -> None:
        self.texts: dict[int, tuple[bytes, int]] = {}
        self.on_keep: Any = None

    def kept(self, length: int) -> None:
        if self.on_keep is not None:
            hook, self.on_keep = self.on_keep, None
            hook()

    def keep_init(self, serial: int, text: bytes, dropped: int) -> None:
        self.texts[-serial] = (text, dropped)
        self.kept(len(text))

    def tail(self, number: int) -> str:
        return ""


class Rig:
    """Does with a lane what the supervisor does. Nothing is killed: who is buried is simply not stepped any more."""

    def __init__(self) -> None:
        configuration: Any = SimpleNamespace(function_name="rig", version="1", memory_mb=128, timeout_s=TIMEOUT_S)
        self.quota = Quota(5_000, "rig")
        self.lane = Lane(
            configuration,
            self.quota,
            Meter(10_000),
            Journal(1 << 24),
            source=0,
            log_limit=65_536,
            spin_us=0,
            spin_limit=0,
        )
        self.book = Book()
        self.lane.book = self.book
        self.lane.on_event = self.on_event
        self.scheduler: Any = Scheduler(lambda_scaling=False, cpus=1)
        self.scheduler.new_future = self.new_answer
        self.scheduler.call_soon = self.scheduler.on_active = self.scheduler.on_demand = lambda *_: None
        self.answers: list[Answer] = []
        self.workers: dict[Environment, Worker] = {}
        self.reported: list[tuple[Environment | None, str]] = []
        self.seen: Counter[str] = Counter()

    def close(self) -> None:
        repair.abandon(self.lane, RuntimeError("closed"))
        self.lane.close()
        self.scheduler.close()
        for env in self.workers:
            self.close_log(env)

    def new_answer(self) -> Answer:
        self.answers.append(Answer())
        return self.answers[-1]

    def invoke(self, payload: bytes = b"{}") -> Answer:
        answer: Answer = self.scheduler.call(self.lane, payload, b"", False)
        return answer

    # --- what the supervisor does

    def start(self) -> Worker:
        """An environment whose init is over."""
        env = repair.admit(self.lane, "stream")
        self.workers[env] = worker = Worker(self.lane, env)
        forge(self.lane.mapping, "init_state", INIT_OK, env.index)
        worker.end.flag_finished()
        self.lane.drain_now()
        return worker

    def on_event(self, lane: Lane, env: Environment | None, event: str, index: int) -> None:
        self.seen[event] += 1
        if event == "overdue":
            repair.fail(lane, env, index, b"late", Outcome.TIMEOUT.value, "Sandbox.Timedout", whole_timeout=True)
        else:
            self.reported.append((env, event))

    def bury(self, env: Environment) -> None:
        if self.workers.pop(env, None) is not None:
            for index in repair.bury(self.lane, env):
                self.fail(env, index)
            assert repair.bury(self.lane, env) == []
            self.close_log(env)

    def close_log(self, env: Environment) -> None:
        if env.log_fd >= 0:
            os.close(env.log_fd)
            env.log_fd = -1

    def fail(self, env: Environment | None, index: int) -> None:
        repair.fail(self.lane, env, index, b"dead", Outcome.EXIT.value, "Runtime.ExitError")

    def hear(self) -> None:
        """Act on what the lane has reported."""
        while self.reported:
            env, event = self.reported.pop(0)
            if event == "poisoned" and self.lane.poisoned:
                for index in repair.outstanding_slots(self.lane):
                    self.fail(None, index)
                for old in repair.reset(self.lane):
                    self.workers.pop(old, None)
                    self.close_log(old)
            elif event == "illegal" and env is not None:
                self.bury(env)

    def tick(self, now_ns: int | None = None) -> None:
        self.lane.drain_now()
        for env, index, generation in repair.sweep(self.lane, time.monotonic_ns() if now_ns is None else now_ns):
            leaving.retire(self.lane, env)
            repair.fail(
                self.lane, env, index, b"late", Outcome.TIMEOUT.value, "Sandbox.Timedout", hold=True,
                whole_timeout=True, generation=generation,
            )  # fmt: skip
            self.reported.append((env, "illegal"))
        repair.pump_logs(self.lane)
        self.hear()

    # --- what must always hold

    def check(self) -> None:
        waiting = [answer for answer in self.answers if not answer.results]
        assert [answer.results for answer in self.answers if len(answer.results) > 1] == []
        assert self.lane.outstanding == self.quota.used == len(waiting)
        assert len(repair.outstanding_slots(self.lane)) + len(self.lane.pending) == len(waiting)
        members = [env for env in self.lane.environments if env is not None]
        assert self.lane.ready == sum(env.is_ready and not env.withdrawn for env in members)
        assert self.lane.starting == sum(not env.is_ready for env in members)
        for answer in self.answers:
            result = answer.results[0] if answer.results else None
            if hasattr(result, "queued_ms"):
                assert 0 <= result.queued_ms < 3_600_000 and 0 <= result.duration_ms <= TIMEOUT_S * 1000

    def finish(self) -> None:
        """Everything that was accepted ends, exactly once; the lane is as good as new."""
        for env in list(self.workers):
            self.bury(env)
        for _ in range(20):
            self.tick()
            self.check()
            if not self.lane.outstanding:
                break
            worker = next(iter(self.workers.values()), None) or self.start()
            worker.serve()
        assert self.lane.outstanding == 0, "an invocation was never ended"
        for env in list(self.workers):
            self.bury(env)
        for _ in range(1_030):
            self.invoke()
        assert len(set(repair.outstanding_slots(self.lane))) == 1_024, "the free list has lost or doubled a slot"
        worker = self.start()
        for _ in range(3):
            worker.serve()
            self.tick()
        self.check()
        assert self.lane.outstanding == 0, "a lane that was repaired does not serve"


class Worker:
    """Plays one environment, honestly unless told otherwise."""

    def __init__(self, lane: Lane, env: Environment) -> None:
        self.env = env
        self.mapping = lane.mapping
        self.end = EnvironmentEnd(lane.mapping, env.index)
        self.slot = -1

    def claim(self) -> bool:
        self.slot = self.end.claim_next()
        if self.slot >= 0:
            forge(self.mapping, "claimed_ns", time.monotonic_ns(), self.slot)
        return self.slot >= 0

    def write(self, answer: bytes = b"[]", **fields: int) -> None:
        """Fill in the answer; `fields` are written last, whatever they say."""
        honest = {"out_len": len(answer), "out_type_len": 0, "out_flags": 0, "memory_kb": 1, "log_end": 0}
        put_body(self.mapping, self.slot, answer)
        for name, value in {**honest, "done_ns": time.monotonic_ns(), "cpu_ns": 0, **fields}.items():
            forge(self.mapping, name, value, self.slot)

    def finish(self) -> None:
        self.end.finish(self.slot)
        self.slot = -1

    def serve(self) -> int:
        """Answer everything there is. How many."""
        count = 0
        while self.claim():
            self.write()
            self.finish()
            count += 1
        return count

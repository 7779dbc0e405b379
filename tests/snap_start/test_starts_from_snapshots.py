"""SnapStart through the engine: init runs once, its copies serve, and what cannot be kept is told."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from doors import ONE_VCPU_MB, PATIENCE_S, BlockingDoor, Gate, descriptor_links, watched, zygote_pid

CODE = Path(__file__).parent / "code"


class Snapped:
    """Version 1 of a function whose versions start from a snapshot."""

    def __init__(self, door: BlockingDoor, name: str) -> None:
        self.door, self.name, self.version = door, name, "1"

    def __call__(self, payload: Any = None) -> Any:
        return self.door.invoke(self.name, payload or {}, qualifier=self.version)

    def settled(self) -> dict[str, Any]:
        """What is told of the snapshot once it is made, or is not to be."""
        deadline = time.monotonic() + PATIENCE_S
        while (told := self.told()) is None or told["status"] == "making":
            assert time.monotonic() < deadline, told
            time.sleep(0.005)
        return told

    def told(self) -> dict[str, Any] | None:
        versions = self.door.stats(self.name)["functions"][self.name]["versions"]
        told: dict[str, Any] | None = versions[self.version]["snapshot"]
        return told

    def log(self) -> list[str]:
        return [event.message for event in self.door.logs(self.name, qualifier=self.version)]


@pytest.fixture(scope="module")
def door() -> Iterator[BlockingDoor]:
    with BlockingDoor() as opened:
        yield opened


@pytest.fixture
def publish(door: BlockingDoor) -> Iterator[Callable[..., Snapped]]:
    names: list[str] = []

    def make(**settings: Any) -> Snapped:
        names.append(f"snapped-{len(names)}-{time.monotonic_ns()}")
        given = {"handler": "snapped.tells", "memory_mb": ONE_VCPU_MB, "snap_start": True, "timeout_s": 30, **settings}
        door.create_function(names[-1], code=CODE, **given)
        door.publish_version(names[-1])
        return Snapped(door, names[-1])

    yield make
    for name in names:
        door.delete_function(name)


def test_environments_go_on_from_one_init_each_with_randomness_and_a_log_of_its_own(
    publish: Callable[..., Snapped], gate: Gate
) -> None:
    snapped = publish()
    assert snapped.settled()["status"] == "ready"
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(snapped, {"gate": gate.address}) for _ in range(3)]
        gate.wait_entered(3)
        gate.open()
        results = [call.result() for call in calls]
    told = [result.json() for result in results]
    assert {result.start for result in results} == {"snapshot"}
    assert len({each["id"] for each in told}) == 1
    assert {(each["before"], each["after"], each["left"], each["kind"], each["pid"]) for each in told} == {
        (1, 1, "left by init", "snap-start", 2)
    }
    assert len({each["random"] for each in told}) == len({each["stream"] for each in told}) == 3
    assert all(each["stream"] == each["variable"] for each in told)
    assert snapped.log().count("init runs") == 1
    assert (again := snapped()).start == "warm" and again.json()["after"] == 1
    assert snapped.settled()["restored"] == 3


def test_the_report_has_restore_times_and_bills_what_follows_the_restoration(publish: Callable[..., Snapped]) -> None:
    snapped = publish()
    result = snapped()
    assert result.start == "snapshot"
    report = next(line for line in snapped.log() if line.startswith("REPORT"))
    restore = float(re.search(r"\tRestore Duration: ([\d.]+) ms\t", report)[1])  # type: ignore[index]
    billed_restore = int(re.search(r"\tBilled Restore Duration: (\d+) ms\t", report)[1])  # type: ignore[index]
    assert "Init Duration" not in report
    assert restore == pytest.approx(result.init_ms, abs=0.011)
    assert 1 <= billed_restore <= restore + 1
    assert result.duration_ms < result.billed_ms <= result.duration_ms + billed_restore + 1
    assert [line.split(" ")[0] for line in snapped.log() if line.startswith("RESTORE")] == [
        "RESTORE_START", "RESTORE_REPORT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fails", "words"), [("thread", "init left the thread 'straggler' running"), ("socket", "127.0.0.1")]
)
def test_what_a_snapshot_cannot_keep_is_told_and_the_version_starts_by_its_init(
    publish: Callable[..., Snapped], fails: str, words: str
) -> None:
    snapped = publish(environment={"FAILS": fails})
    told = snapped.settled()
    assert told["status"] == "failed"
    assert words in told["reason"]
    result = snapped()
    assert (result.start, result.function_error) == ("cold", None)
    assert (result.json()["before"], result.json()["after"]) == (1, 1)  # its hooks ran all the same
    assert any(line.startswith("[engine] no snapshot of this version: ") and words in line for line in snapped.log())


@pytest.mark.parametrize(
    ("fails", "status", "reason", "message"),
    [
        ("init", "failed", "ValueError: init fails", "init fails"),
        ("before", "failed", "Runtime.BeforeSnapshotError: not to be kept", "not to be kept"),
        ("after", "ready", None, "not to be restored"),
    ],
)
def test_a_failing_init_or_hook_is_what_callers_are_told(
    publish: Callable[..., Snapped], fails: str, status: str, reason: str | None, message: str
) -> None:
    snapped = publish(environment={"FAILS": fails})
    told = snapped.settled()
    assert (told["status"], told["reason"]) == (status, reason)
    result = snapped()
    assert result.function_error == "Unhandled"
    assert result.json()["errorMessage"] == message


def test_each_version_has_a_snapshot_of_its_own_and_latest_has_none(
    door: BlockingDoor, publish: Callable[..., Snapped]
) -> None:
    snapped = publish()
    first = snapped().json()["id"]
    door.update_function_configuration(snapped.name, description="another")
    snapped.version = door.publish_version(snapped.name).version
    assert snapped().json()["id"] != first
    assert door.invoke(snapped.name, {}).start == "cold"
    door.delete_function(snapped.name, qualifier="1")
    assert snapped().start == "warm"


def test_snapshots_are_made_anew_when_the_zygote_is_gone(door: BlockingDoor, publish: Callable[..., Snapped]) -> None:
    snapped = publish()
    before = snapped().json()["id"]
    with watched(zygote_pid(door)) as wait_gone:
        os.kill(zygote_pid(door), signal.SIGKILL)
        wait_gone()
    deadline = time.monotonic() + PATIENCE_S
    while (result := snapped()).function_error or result.json()["id"] == before:  # what is warm may serve once more
        assert time.monotonic() < deadline
    assert result.start == "snapshot"
    assert result.json()["id"] != before


def test_a_burst_begins_from_one_snapshot(publish: Callable[..., Snapped], gate: Gate) -> None:
    snapped = publish()
    with ThreadPoolExecutor(24) as threads:
        calls = [threads.submit(snapped, {"gate": gate.address}) for _ in range(24)]
        gate.wait_entered(24)
        gate.open()
        told = [call.result().json() for call in calls]
    assert len({each["id"] for each in told}) == 1
    assert len({each["random"] for each in told}) == 24
    assert snapped.log().count("init runs") == 1


def test_an_engine_that_closes_while_one_is_made_keeps_nothing_of_it(gate: Gate, tmp_path: Path) -> None:
    code = tmp_path / "app.py"
    code.write_text(
        f"import socket\nsocket.create_connection({gate.address}).recv(1)\n\ndef handler(event, context):\n    pass\n"
    )
    with BlockingDoor() as door:
        door.create_function("slow", code=code, handler="app.handler", snap_start=True)
        door.publish_version("slow")
        gate.wait_entered()
        assert snapshot_files() > 0
    assert snapshot_files() == 0


def snapshot_files() -> int:
    """Held by this process."""
    return sum("memfd:engine-snapshot-" in link for link in descriptor_links())


def test_blanks_rehearse_for_starts_like_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockingDoor() as door:
        births = door.inside._supervisor.births
        asked: SimpleQueue[bool] = SimpleQueue()
        order = births.zygote.order

        def recorded(given: dict[str, Any], fds: list[int]) -> None:
            asked.put(given["rehearse"])
            order(given, fds)

        monkeypatch.setattr(births.zygote, "order", recorded)
        door.create_function("f", code=CODE, handler="snapped.tells", memory_mb=ONE_VCPU_MB, snap_start=True)
        snapped = Snapped(door, "f")
        door.publish_version("f")
        assert snapped.settled()["status"] == "ready"

        def once_asked(rehearse: bool) -> None:
            while asked.get(timeout=PATIENCE_S) is not rehearse:
                pass  # of before

        assert snapped().start == "snapshot"
        once_asked(False)
        assert door.invoke("f", {}).start == "cold"
        once_asked(True)

"""The ledger of a whole engine: through restarts, deletions and a disk that is full for a while."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door
from keeping import GIB, HELLO, kept, ledger, line, put, requests

from engine import errors
from engine.records.ledger import BACKLOG_BYTES, InvocationLedger
from engine.records.rollups import Rollups

CODE = Path(__file__).parent / "code"


@pytest.fixture(params=DOORS)
def open_engine(request: pytest.FixtureRequest) -> Callable[..., Door]:
    return DOORS[request.param]


def deploy(door: Door, name: str) -> None:
    door.create_function(name, code=CODE / "echo.py", handler="echo.handler", memory_mb=ONE_VCPU_MB)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow, as on a disk without room: writes fail with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_bill_is_current_and_goes_on_over_restarts_and_deletions(
    open_engine: Callable[..., Door], tmp_path: Path
) -> None:
    results = []
    for number in range(3):
        with open_engine(data_dir=tmp_path) as door:
            deploy(door, f"hello-{number}")
            results += [door.invoke(f"hello-{number}", {"raise": "x"} if n == 2 else {"n": n}) for n in range(5)]
            door.delete_function(f"hello-{number}")
            table = door.bill()
            assert table.total.requests == len(results)
            assert table.total.billed_ms == sum(result.billed_ms for result in results)
            assert (table.total.errors, table.total.cold_starts) == (number + 1, number + 1)
            assert [one.function for one in table.lines] == [f"hello-{n}" for n in range(number + 1)]
            text = io.StringIO()
            assert door.export_ledger(text) == len(results)
            assert [row.split(",")[0] for row in text.getvalue().splitlines()[1:]] == [r.request_id for r in results]


def test_a_record_says_what_the_result_said(open_engine: Callable[..., Door], tmp_path: Path) -> None:
    with open_engine(data_dir=tmp_path) as door:
        deploy(door, "hello")
        before_ns = time.time_ns()
        results = [door.invoke("hello", {"n": 1}), door.invoke("hello", {"raise": "x"})]
        after_ns = time.time_ns()
    for result, (found, source) in zip(results, kept(tmp_path / "ledger"), strict=True):
        assert found.request_id.hex() == result.request_id.replace("-", "")
        assert (source.function, source.version, source.memory_mb) == ("hello", "$LATEST", ONE_VCPU_MB)
        assert (found.duration_ns, found.queued_ns) == (ns(result.duration_ms), ns(result.queued_ms))
        assert (found.init_ns, found.billed_ms) == (ns(result.init_ms or 0), result.billed_ms)
        assert (found.max_memory_mb, found.environment) == (result.max_memory_mb, 1)
        assert before_ns - 10**6 < found.ended_ns < after_ns + 10**6
    assert [found.outcome for found, _ in kept(tmp_path / "ledger")] == [0, 1]


def ns(time_ms: float) -> int:
    return round(time_ms * 1e6)


def test_a_temporary_engine_has_a_bill_and_no_records(open_engine: Callable[..., Door]) -> None:
    with open_engine() as door:
        deploy(door, "hello")
        for _ in range(3):
            door.invoke("hello", {})
        assert door.bill(by="day").total.requests == 3
        with pytest.raises(errors.InvalidParameterValueException, match="give Engine a data_dir"):
            door.export_ledger(io.StringIO())
        with pytest.raises(errors.InvalidParameterValueException, match="such as '2026-11'"):
            door.bill(month="11/2026")


def test_records_become_durable_without_being_asked_for(open_engine: Callable[..., Door], tmp_path: Path) -> None:
    with open_engine(data_dir=tmp_path) as door:
        deploy(door, "hello")
        for count in range(1, 4):
            door.invoke("hello", {})
            wait_until(lambda: len(kept(tmp_path / "ledger")) == count)  # noqa: B023
            scheduler = door.inside._scheduler
            wait_until(lambda: not scheduler.watched)  # noqa: B023
        saved = door.inside._control.ledger.rollups
        wait_until(lambda: saved.position().sequence == 3)


def test_a_full_disk_stops_the_engine_at_its_bound_and_serving_resumes(
    open_engine: Callable[..., Door], tmp_path: Path
) -> None:
    with open_engine(data_dir=tmp_path) as door:
        deploy(door, "hello")
        result = door.invoke("hello", {})
        journal = door.inside._control.ledger.journal
        with full_disk():
            door.invoke("hello", {})
            with pytest.raises(errors.ServiceException, match=r"\.seg: File too large"):
                door.bill()
            assert door.invoke("hello", {}).json() == {}  # until the bound it only waits
            journal.rehearse(result, BACKLOG_BYTES // 64)
            assert journal.full
            with pytest.raises(errors.ServiceException) as told:
                door.invoke("hello", {})
            assert str(tmp_path / "ledger") in str(told.value)
            assert "File too large" in str(told.value)
        wait_until(lambda: not journal.full)
        assert door.invoke("hello", {}).json() == {}
        wait_until(lambda: not journal.trouble and journal.appended == journal.settled)
        assert door.bill().total.requests == 4 + BACKLOG_BYTES // 64
        assert door.stats("hello")["functions"]["hello"]["versions"]["$LATEST"]["throttles"] == 0


def test_what_a_failing_disk_held_up_is_written_once_it_can_be(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        put(opened, line())
        opened.flush()
        with full_disk():
            for _ in range(3):
                put(opened, line())
                with pytest.raises(errors.ServiceException, match="File too large; it is tried again"):
                    opened.flush()
        wait_until(lambda: not opened.journal.trouble)
        assert requests(opened) == 4
    assert len(kept(tmp_path)) == 4


def test_closing_on_a_disk_that_fails_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.records.ledger.CLOSE_PATIENCE_S", 0.0)
    opened = InvocationLedger(tmp_path, ledger_bytes=GIB, busy=lambda: False)
    opened.source(HELLO)
    with full_disk():
        put(opened, line(), line())
        with pytest.raises(errors.ServiceException, match=r"its last 2 records are lost: .*File too large"):
            opened.close()
    with ledger(tmp_path) as again:
        assert requests(again) == 0


def test_a_damaged_sum_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        put(opened, line())
    (tmp_path / "rollups.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(errors.EngineError, match=r"rollups\.db cannot be used: .*move it away"), ledger(tmp_path):
        pass
    (tmp_path / "rollups.db").unlink()
    with ledger(tmp_path) as opened:
        assert requests(opened) == 1


def test_a_ledger_that_cannot_be_opened_for_now_is_not_advised_to_be_moved_away(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        put(opened, line())
    (tmp_path / "rollups.db").unlink()
    Rollups(tmp_path / "rollups.db").close()
    with full_disk(), pytest.raises(errors.EngineError, match=r"rollups\.db.*disk") as told, ledger(tmp_path):
        pass
    assert "move it away" not in str(told.value)
    with ledger(tmp_path) as opened:
        assert requests(opened) == 1


@pytest.mark.parametrize("settings", [{"ledger_bytes": 1_000}])
def test_a_ledger_that_is_too_small_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match="ledger_bytes=1000: give at least 1,048,576"):
        DOORS["blocking"](**settings)

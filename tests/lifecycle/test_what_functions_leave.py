"""Functions that close, leave or break things of their own: the next invocation works, and nothing outlives them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
from doors import Function, Gate, host_pid, kill_from_outside, watched

Deploy = Callable[..., Function]


def test_a_function_that_closes_its_descriptors_is_answered_logged_and_invoked_again(deploy: Deploy) -> None:
    function = deploy("closes_descriptors", timeout_s=30)
    results = [function(), function(), function()]
    assert [result.start for result in results] == ["cold", "warm", "warm"]
    assert len({result.json() for result in results}) == 1
    for result in results:
        assert function.log(result).count("own line") == 1


def test_a_function_has_1024_descriptors_and_survives_using_them_up(deploy: Deploy) -> None:
    function = deploy("opens_files")
    emfile = 24
    for result in (function(), function()):
        opened, error = result.json()
        assert error == emfile
        assert 1_000 < opened <= 1_024 - 3
    assert function.results[-1].start == "warm"


def test_threads_that_are_left_running_hold_up_neither_the_next_invocation_nor_the_end(deploy: Deploy) -> None:
    function = deploy("leaves_threads")
    stream, one = function().json()
    assert function().json() == [stream, one + 1]
    with watched(function.pid(stream)) as wait_gone:
        function.door.delete_function(function.name)
        wait_gone()


def test_a_daemon_is_gone_after_its_environment(deploy: Deploy) -> None:
    function = deploy("leaves_a_daemon")
    stream, own_pid = function({"waits for its orphanage": True}).json()
    pid = function.pid(stream)
    daemon = host_pid(pid, own_pid)
    assert psutil.Process(daemon).ppid() == psutil.Process(pid).ppid()  # an environment's init adopts its orphans
    with watched(pid, daemon) as wait_gone:
        function.door.delete_function(function.name)
        wait_gone()


def test_a_daemon_is_gone_after_its_environment_was_killed(deploy: Deploy) -> None:
    function = deploy("leaves_a_daemon")
    stream, own_pid = function({"waits for its orphanage": False}).json()
    pid = function.pid(stream)
    daemon = host_pid(pid, own_pid)
    with watched(pid, daemon) as wait_gone:
        kill_from_outside(function.door, pid)
        wait_gone()
    assert function({"waits for its orphanage": False}).start == "cold"


def test_module_state_lives_as_long_as_the_environment(deploy: Deploy) -> None:
    function = deploy("counts")
    assert [function().json() for _ in range(3)] == [1, 2, 3]
    with watched(*function.pids()) as wait_gone:
        psutil.Process(function.pids()[0]).kill()
        wait_gone()
    assert function().json() == 1


def test_invocations_at_once_run_in_environments_of_their_own(deploy: Deploy, gate: Gate) -> None:
    function = deploy("waits", timeout_s=30)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(function, gate.address) for _ in range(4)]
        gate.wait_entered(4)
        assert len(set(function.pids())) >= 4
        gate.open()
        assert [call.result().json() for call in calls] == ["old code"] * 4


def test_a_long_log_is_all_there_and_belongs_to_its_invocation(deploy: Deploy) -> None:
    function = deploy("prints_much", timeout_s=30)
    for lines in (3, 20_000, 5):
        result = function(lines)
        own = [line for line in function.log(result) if line.startswith("line ")]
        assert own == [f"line {number}" for number in range(lines)]


def test_a_functions_code_folder_shows_no_trace_of_the_test(deploy: Deploy) -> None:
    task_root, names = deploy("lists_its_code")().json()
    assert (task_root, set(names) - {"__pycache__"}) == ("/var/task", {"endings.py"})

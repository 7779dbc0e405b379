"""The same attacks out of a custom runtime: a process that the environment started, and that is not the environment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import test_hostile_answers as answers
import test_hostile_calls as calls
import test_hostile_endings as endings
import test_hostile_network as network
import test_hostile_reach as reach
import test_hostile_resources as resources
from standing import CODE, Hostile

Deploy = Callable[..., Hostile]
KILLED = "Runtime exited with error: signal: killed"
REFUSED = "GET /2018-06-01/runtime/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


listeners = network.listeners


@pytest.fixture
def deploy(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """As for functions of the engine's own Python, with a `bootstrap` beside the code and the host's Python in it."""

    def create(*, code: Path = CODE, **settings: Any) -> Hostile:
        whole = tmp_path_factory.mktemp("code") / "whole"
        shutil.copytree(code, whole, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(CODE / "bootstrap", whole / "bootstrap")
        return deploy(code=whole, runtime="provided.al2023", **settings)

    return create


# What holds for the engine's own Python holds here, by the same tests.
test_forks = resources.test_a_fork_bomb_stops_at_1024_processes_and_is_told_so
test_forks_of_forks = resources.test_a_fork_bomb_whose_children_fork_too_is_gone_at_its_time_limit
test_threads = resources.test_a_thread_bomb_stops_at_1024_threads_and_is_told_so
test_memory = resources.test_a_memory_hog_is_killed_and_its_report_says_out_of_memory
test_memory_in_files = resources.test_memory_in_a_file_without_a_name_counts
test_memory_at_init = resources.test_an_init_that_hogs_memory_is_killed_again_inside_the_invocation
test_descriptors = resources.test_descriptors_end_at_1024_and_each_process_has_its_own
test_tmp = resources.test_tmp_has_the_size_that_was_asked_for_and_then_is_full
test_flood = resources.test_a_flood_on_stdout_is_cut_at_a_mebibyte_and_says_so
test_flood_for_ever = resources.test_a_flood_without_end_is_ended_at_its_time_limit
test_threads_left = resources.test_threads_that_are_left_stand_still_between_invocations
test_daemon = resources.test_a_daemon_that_left_its_session_is_frozen_and_goes_with_its_environment
test_init_hangs = resources.test_an_init_that_hangs_is_ended_and_done_again_under_the_time_limit

test_files = reach.test_the_hosts_files_and_other_functions_code_are_not_there
test_own_code = reach.test_its_own_code_and_the_hosts_programs_cannot_be_changed
test_look_into = reach.test_it_can_look_into_no_other_process
test_user = reach.test_the_very_first_environment_of_a_function_has_a_user_of_its_own

test_endings = endings.test_a_process_that_ends_is_told_as_lambda_tells_it
test_stops_itself = endings.test_a_process_that_stops_itself_is_ended_at_its_time_limit
test_crowd_and_exit = endings.test_children_that_are_stopped_deaf_orphaned_or_inside_vfork_go_with_a_process_that_exits
test_crowd_and_time = endings.test_children_that_are_stopped_deaf_orphaned_or_inside_vfork_go_with_one_that_times_out
test_crowd_left = endings.test_children_that_outlive_their_invocation_go_with_their_environment

test_filter = calls.test_every_call_of_the_filters_table_is_refused_inside_a_function
test_newer_calls = calls.test_calls_newer_than_the_filter_do_not_exist
test_clones = calls.test_new_namespaces_cannot_be_had_and_threads_and_children_can
test_sideways = calls.test_the_other_ways_into_the_kernel_are_shut
test_limits = calls.test_no_limit_and_no_priority_can_be_raised
test_host = calls.test_clock_names_roots_mounts_and_users_are_not_its_to_change
test_devices = calls.test_devices_can_neither_be_made_nor_found
test_setuid = calls.test_setuid_programs_run_as_whoever_starts_them
test_hides = calls.test_a_function_that_hides_from_proc_is_measured_and_ended_all_the_same
test_watches = calls.test_shared_mounts_cannot_be_watched
test_no_core = calls.test_a_crash_leaves_no_core_file

test_sockets = network.test_plain_sockets_open_and_all_others_do_not
test_hosts_network = network.test_on_the_hosts_network_loopback_answers_and_unix_sockets_do_not
test_answers = answers.test_an_answer_at_the_cap_passes_and_one_byte_more_is_too_large


@pytest.mark.parametrize("kind", ["loopback", "none"])
def test_without_the_hosts_network_nobody_answers(
    deploy: Deploy, enforced: frozenset[str], listeners: dict[str, object], kind: str
) -> None:
    """Loopback is there, though nobody else is on it: a runtime needs its Runtime API."""
    network.test_without_the_hosts_network_nobody_answers(deploy, enforced, listeners, kind, "ECONNREFUSED")


def test_it_sees_itself_and_not_even_what_serves_it(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("sees")
    if "processes" in enforced and "files" in enforced:
        assert told["pids"] == [told["own pid"]] != [hostile.told("parent_pid")]
        assert (told["cwd"], set(told["dev"])) == ("/var/task", reach.DEVICES)
        assert set(told["root"]) <= reach.SHOWN


def test_it_can_signal_nobody_outside_and_ends_itself_with_what_serves_it(
    hostile: Hostile, enforced: frozenset[str]
) -> None:
    if not {"processes", "files"} <= enforced:
        return
    others = reach._others(hostile)
    told = hostile.told("signals", pids={**others, "its init": 1})
    assert set(told.values()) <= {"ESRCH", "EPERM"}, told
    hostile.ends("signals", KILLED, pids={"what serves it": hostile.told("parent_pid")})
    assert hostile.invoke().start == "cold"
    hostile.ends("signals", KILLED, pids={"everybody": -1})
    assert reach.environment_pid(hostile.door, "victim") == others["the victim"]


def test_what_serves_it_cannot_be_looked_into(hostile: Hostile, enforced: frozenset[str]) -> None:
    """It is the same user's: its memory, descriptors and variables are shut all the same."""
    if {"processes", "system calls"} <= enforced:
        said = hostile.told("looks_into", pids={"shim": hostile.told("parent_pid")})["shim"]
        assert said[:3] == ["EPERM"] * 3
        assert set(said[3:]) <= {"EACCES", "EPERM", "ENOENT"}


def test_a_stopped_server_is_a_time_out(hasty: Hostile, enforced: frozenset[str]) -> None:
    if "processes" in enforced:
        hasty.times_out("stops", pid=hasty.told("parent_pid"))


def test_it_inherits_three_descriptors(hostile: Hostile) -> None:
    told = hostile.told("descriptors")
    own = {int(number): link for number, link in told["own"].items() if link != "gone" and "/fd" not in link}
    assert own.pop(0) == "/dev/null"
    assert own[1] == own[2]
    above = sorted(link.split(":")[0] for fd, link in own.items() if fd > 2)
    assert above == ["socket"]  # its own connection to the Runtime API


def test_the_runtime_api_of_another_function_answers_nobody_else(deploy: Deploy, enforced: frozenset[str]) -> None:
    """On the host's network its port can be reached, and says nothing to other users."""
    if "users" not in enforced:
        return
    one, other = deploy(network="host"), deploy(network="host")
    host, port = one.told("own_runtime_api")
    assert host == "127.0.0.1" and other.told("own_runtime_api")[1] != port
    words = REFUSED.encode().hex()
    assert bytes.fromhex(one.told("asks_service", port=port, words=words)).startswith(b"HTTP/1.1 404")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(other.told, "asks_service", port=port, words=words)
        while not asking.done():  # between invocations its server is frozen, and hangs up on nobody
            assert one.invoke().start == "warm"
        assert asking.result() == ""


def test_the_runtime_api_has_an_address_that_is_the_environments_own(deploy: Deploy, enforced: frozenset[str]) -> None:
    if "network" in enforced:
        one, other = deploy(network="loopback"), deploy(network="none")
        assert one.told("own_runtime_api") == other.told("own_runtime_api") == ["127.0.0.1", 9001]


def test_a_runtime_that_closes_or_floods_its_connection_hurts_itself_alone(hostile: Hostile) -> None:
    """More connections than it may have, each with half a request; then it goes on with its own."""
    host, port = hostile.told("own_runtime_api")
    assert hostile.told("opens_many_connections", host=host, port=port, number=100) == 100
    assert hostile.invoke().start == "warm"

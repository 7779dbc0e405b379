"""The account's concurrency and reservations: who is refused, with which reason, and where leases go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import Door, Function, Gate

from engine import errors

Open = Callable[..., Door]
Deploy = Callable[..., Function]

ACCOUNT = "ConcurrentInvocationLimitExceeded"
RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


def refusal(function: Function) -> errors.TooManyRequestsException:
    with pytest.raises(errors.TooManyRequestsException) as caught:
        function()
    return caught.value


def test_an_invocation_over_the_accounts_concurrency_is_refused_as_lambda_does(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any
) -> None:
    door = open_door(account_concurrency=2)
    waiting, other = deploy(door, "waits"), deploy(door, "echoes")
    under_way = calls.start(waiting, {"gate": gate.address}, 2)
    gate.wait_entered(2)
    for function in (waiting, other):
        error = refusal(function)
        assert (error.message, error.reason, error.status_code, error.fault) == ("Rate Exceeded.", ACCOUNT, 429, "User")
    assert leases(door).account() == (2, 2)
    gate.open()
    assert {call.result().function_error for call in under_way} == {None}
    assert other({"n": 1}).json() == {"n": 1}
    assert leases(door).account() == (0, 2)
    assert (waiting.stats()["throttles"], other.stats()["throttles"]) == (1, 1)


def test_a_reservation_is_the_most_a_function_gets_and_is_kept_from_the_others(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any
) -> None:
    door = open_door(account_concurrency=102)
    mine, other = deploy(door, "waits"), deploy(door, "echoes")
    door.put_function_concurrency("waits", 2)
    calls.start(mine, {"gate": gate.address}, 2)
    gate.wait_entered(2)
    assert refusal(mine).reason == RESERVED
    assert other({"n": 1}).json() == {"n": 1}
    assert leases(door).of("waits") == (2, 2)
    assert leases(door).account() == (0, 100)


def test_a_reservation_of_zero_stops_a_function_until_it_is_given_back(open_door: Open, deploy: Deploy) -> None:
    door = open_door()
    function = deploy(door, "echoes")
    door.put_function_concurrency("echoes", 0)
    error = refusal(function)
    assert (error.message, error.reason) == ("Rate Exceeded.", RESERVED)
    door.delete_function_concurrency("echoes")
    assert function({"n": 1}).json() == {"n": 1}


def test_at_least_one_hundred_stay_unreserved(open_door: Open, deploy: Deploy, leases: Any) -> None:
    door = open_door(account_concurrency=1_000)
    deploy(door, "echoes")
    deploy(door, "waits")
    with pytest.raises(errors.InvalidParameterValueException, match=r"below its minimum value of \[100\]"):
        door.put_function_concurrency("echoes", 901)
    door.put_function_concurrency("echoes", 500)
    with pytest.raises(errors.InvalidParameterValueException, match=r"below its minimum value of \[100\]"):
        door.put_function_concurrency("waits", 401)
    door.put_function_concurrency("waits", 400)
    assert leases(door).account() == (0, 100)
    door.put_function_concurrency("echoes", 100)
    assert leases(door).account() == (0, 500)
    door.delete_function("waits")
    assert leases(door).account() == (0, 900)


def test_a_reservation_put_while_invocations_run_takes_their_leases_with_it(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any
) -> None:
    door = open_door(account_concurrency=110)
    function = deploy(door, "waits")
    under_way = calls.start(function, {"gate": gate.address}, 3)
    gate.wait_entered(3)
    assert leases(door).account() == (3, 110)
    door.put_function_concurrency("waits", 2)
    assert (leases(door).of("waits"), leases(door).account()) == ((3, 2), (0, 108))
    assert refusal(function).reason == RESERVED
    door.put_function_concurrency("waits", 4)
    assert (leases(door).of("waits"), leases(door).account()) == ((3, 4), (0, 106))
    under_way += calls.start(function, {"gate": gate.address})
    gate.wait_entered()
    assert refusal(function).reason == RESERVED
    gate.open()
    assert {call.result().function_error for call in under_way} == {None}
    assert (leases(door).of("waits"), leases(door).account()) == ((0, 4), (0, 106))


def test_a_reservation_given_back_while_invocations_run_returns_their_leases_to_the_account(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any
) -> None:
    door = open_door(account_concurrency=105)
    function, other = deploy(door, "waits"), deploy(door, "echoes")
    door.put_function_concurrency("waits", 2)
    under_way = calls.start(function, {"gate": gate.address}, 2)
    gate.wait_entered(2)
    door.delete_function_concurrency("waits")
    assert leases(door).account() == (2, 105)
    under_way += calls.start(function, {"gate": gate.address})
    gate.wait_entered()
    assert leases(door).account() == (3, 105)
    gate.open()
    assert {call.result().function_error for call in under_way} == {None}
    assert other({"n": 1}).json() == {"n": 1}
    assert leases(door).account() == (0, 105)


def test_every_version_of_a_function_counts_against_its_one_reservation(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any
) -> None:
    door = open_door()
    function = deploy(door, "waits")
    version = door.publish_version("waits").version
    door.put_function_concurrency("waits", 2)
    published = Function(door, f"waits:{version}")
    calls.start(function, {"gate": gate.address})
    calls.start(published, {"gate": gate.address})
    gate.wait_entered(2)
    assert refusal(function).reason == refusal(published).reason == RESERVED
    assert leases(door).of("waits") == (2, 2)


def test_leases_come_back_when_a_function_is_updated_or_deleted_under_way(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, leases: Any, tmp_path: Path
) -> None:
    door = open_door(account_concurrency=103)
    function, doomed = deploy(door, "waits"), deploy(door, "waits", name="doomed")
    door.put_function_concurrency("doomed", 1)
    under_way = calls.start(function, {"gate": gate.address}, 2) + calls.start(doomed, {"gate": gate.address})
    gate.wait_entered(3)
    door.update_function_configuration("waits", description="changed")
    door.delete_function("doomed")
    assert leases(door).account() == (2, 103)
    under_way += calls.start(function, {"gate": gate.address})
    gate.wait_entered()
    assert leases(door).account() == (3, 103)
    gate.open()
    assert {call.result().function_error for call in under_way} == {None}
    assert leases(door).account() == (0, 103)


def test_a_failing_a_timed_out_and_a_dying_invocation_give_their_leases_back(
    open_door: Open, deploy: Deploy, gate: Gate, leases: Any, tmp_path: Path
) -> None:
    door = open_door(account_concurrency=1)
    module = tmp_path / "ends.py"
    module.write_text("import os\ndef raises(event, context):\n    raise ValueError\n\n"
                      "def exits(event, context):\n    os._exit(1)\n")  # fmt: skip
    for handler in ("ends.raises", "ends.exits"):
        door.create_function(handler.replace(".", "-"), code=module, handler=handler)
        assert door.invoke(handler.replace(".", "-")).function_error == "Unhandled"
        assert leases(door).account() == (0, 1)
    deploy(door, "waits", timeout_s=1)
    assert door.invoke("waits", {"gate": gate.address}).outcome == "timeout"
    assert leases(door).account() == (0, 1)


def test_a_payload_that_is_refused_takes_no_lease(open_door: Open, deploy: Deploy, leases: Any) -> None:
    door = open_door()
    function = deploy(door, "echoes")
    with pytest.raises(errors.RequestTooLargeException):
        function(b'"' + b"x" * 6_291_456 + b'"')
    with pytest.raises(errors.InvalidParameterValueException):
        function(object())
    assert leases(door).account() == (0, 1_000)

"""What is provisioned is kept for its version, whatever everybody else does, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from doors import Door, Gate

from engine import errors

Open = Callable[..., Door]
Publish = Callable[..., Any]
ACCOUNT = "ConcurrentInvocationLimitExceeded"
RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


@pytest.fixture(autouse=True)
def _small_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account of three is as good as one of a thousand, and quicker to fill."""
    monkeypatch.setattr("engine.store.provisioning.UNRESERVED_CONCURRENCY_MIN", 1)


def refusal(call: Callable[[], object]) -> str | None:
    with pytest.raises(errors.TooManyRequestsException) as refused:
        call()
    return refused.value.reason


def test_others_get_what_is_left_of_the_account(open_door: Open, publish: Publish, callers: Any, gate: Gate) -> None:
    door = open_door(account_concurrency=3)
    version, other = publish(door), publish(door, "g")
    version.provision(2)
    running = callers.start(other, gate.path)
    gate.wait_entered()
    assert refusal(other) == ACCOUNT
    running += callers.start(version, gate.path, 2)
    gate.wait_entered(2)
    assert refusal(version) == ACCOUNT
    gate.open()
    assert [call.result().status_code for call in running] == [200] * 3
    running = callers.start(version, gate.path, 3)
    gate.wait_entered(3)
    assert refusal(other) == ACCOUNT
    door.delete_provisioned_concurrency_config("f", "1")
    assert refusal(other) == ACCOUNT
    gate.open()
    assert [call.result().status_code for call in running] == [200] * 3
    running = callers.start(other, gate.path, 3)
    gate.wait_entered(3)
    gate.open()
    assert [call.result().start for call in running].count("provisioned") == 0
    account = door.inside._control.dispatch._account
    assert (account.used, account.limit) == (0, 3)


def test_it_is_taken_out_of_a_reservation(open_door: Open, publish: Publish, callers: Any, gate: Gate) -> None:
    door = open_door(account_concurrency=10)
    version = publish(door)
    door.put_function_concurrency("f", 3)
    version.provision(2)
    running = callers.start(version, gate.path, 3)
    gate.wait_entered(3)
    assert refusal(version) == RESERVED
    assert refusal(lambda: version("", "$LATEST")) == RESERVED
    gate.open()
    assert [call.result().status_code for call in running] == [200] * 3
    door.delete_function_concurrency("f")
    account = door.inside._control.dispatch._account
    assert account.limit == 8


def test_a_change_while_invocations_run_loses_none_of_them(
    open_door: Open, publish: Publish, callers: Any, gate: Gate
) -> None:
    door = open_door(account_concurrency=10)
    version = publish(door)
    running = callers.start(version, gate.path, 3)
    gate.wait_entered(3)
    account = door.inside._control.dispatch._account
    assert (account.used, account.limit) == (3, 10)
    version.provision(2)
    assert (account.used, account.limit) == (1, 8)
    version.provision(5)
    assert (account.used, account.limit) == (0, 5)
    gate.open()
    assert [call.result().status_code for call in running] == [200] * 3
    door.delete_provisioned_concurrency_config("f", "1")
    assert (account.used, account.limit) == (0, 10)

"""What the engine returns and raises goes through a map, and MessagePack, and comes back as it was."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvokeResult, errors
from engine._ext.result import OUTCOMES, STARTS
from engine.model import Alias, FunctionConfiguration, LogEvent, StoredCode
from engine.records.bill import BillLine
from engine.records.statistics import BillTable
from engine.wire.values import RESULT_FIELDS, as_map, error_as_map, error_from_map, from_map

NS_MAX = 900 * 1_000_000_000
milliseconds = st.integers(0, NS_MAX).map(lambda ns: ns / 1e6)
names = st.text(max_size=20)
results = st.fixed_dictionaries(
    {
        "payload": st.binary(max_size=100),
        "status_code": st.sampled_from([200, 202, 204]),
        "function_error": st.sampled_from([None, "Unhandled"]),
        "executed_version": st.sampled_from(["$LATEST", "7"]),
        "request_id": st.uuids().map(str),
        "start": st.sampled_from(STARTS),
        "duration_ms": milliseconds,
        "init_ms": st.none() | st.integers(1, NS_MAX).map(lambda ns: ns / 1e6),
        "queued_ms": milliseconds,
        "billed_ms": st.integers(0, 2**40),
        "memory_mb": st.integers(0, 10_240),
        "max_memory_mb": st.integers(0, 2**32 - 1),
        "log_tail": st.none() | names,
        "outcome": st.sampled_from(OUTCOMES),
    }
)
stored = st.builds(
    StoredCode,
    sha256=names,
    size=st.integers(0, 2**40),
    root=st.just(Path()),
    unzipped_bytes=st.integers(0, 2**40),
)
configurations = st.builds(
    FunctionConfiguration,
    function_name=names,
    handler=names,
    runtime=names,
    code=stored,
    environment=st.dictionaries(names, names, max_size=3),
    layers=st.lists(stored, max_size=3).map(tuple),
    memory_mb=st.integers(128, 10_240),
    revision_id=names,
)
lines = st.builds(
    BillLine,
    function=names,
    version=names,
    day=names,
    requests=st.integers(0, 2**60),
    gb_seconds=st.decimals(0, 10**9, allow_nan=False),
    cost=st.decimals(0, 10**9, allow_nan=False),
    errors=st.integers(0, 2**60),
    cold_starts=st.integers(0, 2**60),
    billed_ms=st.integers(0, 2**60),
)


def sent(value: object) -> Any:
    """Through MessagePack, as over a socket."""
    return msgpack.unpackb(msgpack.packb(as_map(value)))


@given(results)
def test_a_result_comes_back_with_every_field(fields: dict[str, Any]) -> None:
    told = sent(InvokeResult.from_map(fields))
    assert told == fields
    assert set(told) == set(RESULT_FIELDS)
    assert as_map(from_map(InvokeResult, told)) == fields


def test_a_result_without_the_optional_fields_is_a_warm_success() -> None:
    needed = {
        "payload": b"1", "status_code": 200, "executed_version": "1", "request_id": str(uuid.uuid4()), "start": "warm",
        "duration_ms": 1.5, "billed_ms": 2, "memory_mb": 128, "max_memory_mb": 40,
    }  # fmt: skip
    result = InvokeResult.from_map(needed)
    assert (result.outcome, result.function_error, result.init_ms, result.log_tail) == ("ok", None, None, None)
    assert InvokeResult.from_map({**needed, "function_error": "Unhandled"}).outcome == "error"
    assert result.json() == 1


@pytest.mark.parametrize(
    "broken", [{}, {"payload": "text"}, {"start": "hot"}, {"duration_ms": "long"}, {"status_code": None}]
)
def test_what_is_no_result_is_refused(broken: dict[str, Any]) -> None:
    whole = {name: value for name, value in as_map(InvokeResult.receipt(204, bytes(16), "1", 128)).items() if broken}
    with pytest.raises((KeyError, TypeError, ValueError)):
        InvokeResult.from_map({**whole, **broken})


@given(configurations)
def test_a_configuration_comes_back_without_paths_of_the_host(configuration: FunctionConfiguration) -> None:
    told = sent(replace(configuration, code=replace(configuration.code, root=Path("/srv/secret"))))
    assert set(told["code"]) == {"sha256", "size", "unzipped_bytes"}
    assert told["function_arn"] == configuration.function_arn
    assert from_map(FunctionConfiguration, told) == configuration


@given(st.builds(Alias, names, names, names, names, names), st.builds(LogEvent, st.integers(0, 2**50), names, names))
def test_aliases_and_log_events_come_back(alias: Alias, event: LogEvent) -> None:
    assert from_map(Alias, sent(alias)) == alias
    assert [from_map(LogEvent, told) for told in sent([event, event])] == [event, event]


@given(st.lists(lines, max_size=3), lines)
def test_a_bill_comes_back_to_the_last_digit(some: list[BillLine], total: BillLine) -> None:
    table = BillTable(tuple(some), total)
    told = sent(table)
    assert isinstance(told["total"]["cost"], str)
    back = from_map(BillTable, told)
    assert asdict(back) == asdict(table)
    assert isinstance(back.total.cost, Decimal)


def test_nothing_is_the_empty_map_and_plain_values_stay() -> None:
    assert as_map(None) == {}
    told = {"functions": {"a": {"versions": {"1": {"errors": 0, "mean": 0.5, "none": None}}}}, "limits": [{"x": "y"}]}
    assert sent(told) == told


def test_what_cannot_travel_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="object"):
        as_map({"a": object()})


def test_keys_of_a_newer_engine_are_passed_over_and_those_an_older_one_lacks_take_their_defaults() -> None:
    told = {"timestamp_ms": 1, "stream": "s", "message": "m", "colour": "red"}
    assert from_map(LogEvent, told) == LogEvent(1, "s", "m", "")


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.EngineError) and kind is not errors.RemoteError
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_back_as_its_class(kind: type[errors.EngineError]) -> None:
    back = error_from_map(error_as_map(kind("told so")))
    assert (type(back), str(back)) == (kind, "told so")


def test_a_reason_comes_back_and_is_left_out_where_there_is_none() -> None:
    told = error_as_map(errors.TooManyRequestsException("slow down", reason="CallerRateLimitExceeded"))
    assert told == {"type": "TooManyRequestsException", "message": "slow down", "reason": "CallerRateLimitExceeded"}
    assert getattr(error_from_map(told), "reason", None) == "CallerRateLimitExceeded"
    assert "reason" not in error_as_map(errors.ServiceException("broken"))


@pytest.mark.parametrize("name", ["FutureException", "annotations", "ClassVar", "__name__", ""])
def test_an_unknown_error_keeps_its_name(name: str) -> None:
    back = error_from_map({"type": name, "message": "m", "reason": "r"})
    assert isinstance(back, errors.RemoteError)
    assert (back.type, back.message, back.reason) == (name, "m", "r")
    assert error_as_map(back) == {"type": name, "message": "m", "reason": "r"}


def test_an_error_that_is_no_map_is_told_as_it_is() -> None:
    assert str(error_from_map("no such method")) == "no such method"


def test_a_failure_of_the_engine_itself_is_a_service_exception() -> None:
    assert error_as_map(ZeroDivisionError("oh")) == {"type": "ServiceException", "message": "ZeroDivisionError: oh"}


def test_the_wait_ending_is_a_timeout_to_python_too() -> None:
    assert issubclass(errors.WaitTimeoutError, TimeoutError)

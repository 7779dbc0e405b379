"""The Telemetry API and the older Logs API: what a subscriber is told, how it comes there, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from doors import Function
from layers import extended, shut_down, told
from verdicts import answer, comes_to_log, failure

ALL = ["platform", "function", "extension"]
SOON = {"timeoutMs": 25}
LATE = {"timeoutMs": 30_000}
TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"


def subscriber(deploy: Any, types: list[str], *, how: dict[str, Any] | None = None, **given: Any) -> Any:
    """A function with a subscriber. `given`: settings of the function, and what is asked for."""
    wanted = {"protocol": "HTTP", "port": 8_080, "types": types, "buffering": SOON}
    wanted |= {name: given.pop(name) for name in ("protocol", "port", "buffering", "schema", "path") if name in given}
    probe = {"subscribe": wanted, "tell": False, "tell_all": True, **(how or {})}
    return extended(deploy, "probe", how={"probe": probe}, **given)


def all_told(function: Function) -> list[dict[str, Any]]:
    """Every record that the subscriber had got when it ended."""
    (records,) = told(function.whole_log(), "probe", "in all")
    assert isinstance(records, list)
    return records


def of(records: list[dict[str, Any]], kind: str) -> list[Any]:
    return [record["record"] for record in records if record["type"] == kind]


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_the_platforms_records_from_init_to_the_end(deploy: Any, protocol: str) -> None:
    function = subscriber(deploy, ["platform"], protocol=protocol, how={"expects": 11})
    first, second = function({"a": 1}), function({"fail": "no"})
    shut_down(function)
    records = all_told(function)
    assert [record["type"] for record in records] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        *["platform.start", "platform.runtimeDone", "platform.report"] * 2,
    ]
    (start,) = of(records, "platform.initStart")
    assert (start["initializationType"], start["phase"]) == ("on-demand", "init")
    assert (start["functionName"], start["functionVersion"]) == (function.name, "$LATEST")
    assert start["instanceMaxMemory"] == 1_769 << 20
    assert of(records, "platform.telemetrySubscription") == [
        {"name": "probe", "state": "Subscribed", "types": ["platform"]},
    ]
    assert of(records, "platform.extension") == [
        {"name": "probe", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
    ]
    (report,) = of(records, "platform.initReport")
    assert (report["status"], report["phase"]) == ("success", "init")
    assert report["metrics"]["durationMs"] > 0
    invocations = [first.request_id, second.request_id]
    for kind in ("platform.start", "platform.runtimeDone", "platform.report"):
        assert [record["requestId"] for record in of(records, kind)] == invocations
    done, failed = of(records, "platform.runtimeDone")
    assert (done["status"], done["metrics"]["producedBytes"]) == ("success", len(first.payload))
    assert [span["name"] for span in done["spans"]] == ["responseLatency", "runtimeOverhead"]
    assert done["tracing"]["value"].startswith("Root=1-")
    assert (failed["status"], failed["errorType"]) == ("error", "Told")
    cold, warm = of(records, "platform.report")
    assert set(cold["metrics"]) - set(warm["metrics"]) == {"initDurationMs"}
    assert warm["metrics"]["memorySizeMB"] == 1_769
    assert 0 < warm["metrics"]["maxMemoryUsedMB"] < 1_769
    assert warm["metrics"]["billedDurationMs"] >= warm["metrics"]["durationMs"]
    assert [span["name"] for span in warm["spans"]] == ["extensionOverhead"]
    assert all(record["time"].endswith("Z") for record in records)


def test_lines_of_the_function_and_of_extensions_one_record_each(deploy: Any) -> None:
    function = subscriber(deploy, ["function", "extension"], variables={"INIT_SAYS": "at init"})
    result = function({"do": [["say", "one\ntwo"], ["error-line", "three"], ["say-without-end", "four"]]})
    function({"do": [["say", "five"]]})
    log = function.log(result)
    assert [line for line in log if line in ("one", "two", "three")] == ["one", "two", "three"]
    assert any(line.startswith("four") for line in log)
    shut_down(function)
    records = all_told(function)
    assert of(records, "function") == ["at init", "one", "two", "three", "four", "five"]
    assert f"probe: done {result.request_id}" in of(records, "extension")
    assert {record["type"] for record in records} == {"function", "extension"}


def test_lines_in_json_are_objects_for_newer_schemas(deploy: Any) -> None:
    line = json.dumps({"level": "INFO", "message": "hello"})
    for schema, expected in (("2022-12-13", json.loads(line)), ("2022-07-01", line)):
        function = subscriber(deploy, ["function"], schema=schema, log_format="JSON")
        answer(function, {"do": [["say", line], ["say", "{ no object"]]})
        shut_down(function)
        assert of(all_told(function), "function") == [expected, "{ no object"]


def test_a_batch_goes_when_it_has_as_many_records_as_were_asked_for(deploy: Any) -> None:
    buffering = {**LATE, "maxItems": 1_000, "maxBytes": 1_048_576}
    function = subscriber(deploy, ["function"], buffering=buffering, how={"tell": "sizes", "tell_all": False})
    function({"do": [["flood", [2_500, 50]]]})
    shut_down(function)
    assert [count for count, _ in told(function.whole_log(), "probe", "sizes")] == [1_000, 1_000, 500]


def test_a_batch_goes_when_it_has_as_many_bytes_as_were_asked_for(deploy: Any) -> None:
    buffering = {**LATE, "maxItems": 10_000, "maxBytes": 262_144}
    function = subscriber(deploy, ["function"], buffering=buffering, how={"tell": "sizes", "tell_all": False})
    function({"do": [["flood", [600, 1_000]]]})
    shut_down(function)
    sizes = told(function.whole_log(), "probe", "sizes")
    assert sum(count for count, _ in sizes) == 600
    assert len(sizes) == 3
    assert all(262_144 <= size < 270_000 for _, size in sizes[:2])


def test_a_batch_goes_after_the_time_that_was_asked_for(deploy: Any) -> None:
    """While the invocation that it is of still runs: the time is 25 ms."""
    function = subscriber(deploy, ["function"], how={"tell": True})
    result = function({"do": [["say", "early"], ["sleep", 1]]})
    assert any("batch" in line and "early" in line for line in function.log(result))


def test_without_new_invocations_what_is_gathered_waits_for_the_end(deploy: Any) -> None:
    function = subscriber(deploy, ["function"], buffering=LATE)
    function({"do": [["say", "kept"]]})
    shut_down(function)
    assert of(all_told(function), "function") == ["kept"]


def test_a_subscriber_that_refuses_is_sent_the_same_again(deploy: Any) -> None:
    function = subscriber(deploy, ["function"], how={"refuse": 2})
    function({"do": [["say", "again"], ["sleep", 1]]})
    shut_down(function)
    assert of(all_told(function), "function") == ["again"]


def test_a_subscriber_that_never_listens_holds_up_nobody_and_uses_no_memory(deploy: Any) -> None:
    how = {"subscribe_nowhere": True}
    function = subscriber(deploy, ["function"], how=how)
    for _ in range(3):
        answer(function, {"do": [["flood", [5_000, 1_000]]]})
    shut_down(function)


def test_one_that_falls_behind_is_told_how_much_was_dropped(deploy: Any) -> None:
    how = {"tell_all": False, "slow_s": 0.2, "count_dropped": True}
    function = subscriber(deploy, ["function"], how=how)
    answer(function, {"do": [["flood", [9_000, 1_000]], ["sleep", 2], ["say", "later"], ["sleep", 1]]})
    shut_down(function)
    (dropped,) = told(function.whole_log(), "probe", "dropped")
    assert dropped
    assert all(set(each) == {"droppedBytes", "droppedRecords", "reason"} for each in dropped)
    assert dropped[0]["droppedBytes"] > 1_000 * dropped[0]["droppedRecords"] > 0


def test_a_time_out_and_an_exit_are_told_before_the_end(deploy: Any) -> None:
    function = subscriber(deploy, ["platform"], timeout_s=1)
    failure(function, {"do": [["sleep", 30]]})
    comes_to_log(function, "probe: ends")
    records = all_told(function)
    assert [record["status"] for record in of(records, "platform.runtimeDone")] == ["timeout"]
    assert [record["status"] for record in of(records, "platform.report")] == ["timeout"]
    exits = subscriber(deploy, ["platform"])
    failure(exits, {"do": [["exit", 3]]})
    comes_to_log(exits, "probe: ends")
    (done,) = of(all_told(exits), "platform.runtimeDone")
    assert (done["status"], done["errorType"]) == ("error", "Runtime.ExitError")


@pytest.mark.parametrize("schema", ["2020-08-15", "2021-03-18"])
def test_the_logs_api_has_records_of_its_own_shapes(deploy: Any, schema: str) -> None:
    function = subscriber(deploy, ALL, path=LOGS, schema=schema)
    result = function({"do": [["say", "hello"]]})
    shut_down(function)
    records = all_told(function)
    kinds = [record["type"] for record in records if record["type"].startswith("platform")]
    done = ["platform.runtimeDone"] if schema == "2021-03-18" else []
    assert kinds == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        *done,
        "platform.end",
        "platform.report",
    ]
    assert of(records, "platform.start") == [{"requestId": result.request_id, "version": "$LATEST"}]
    assert of(records, "platform.end") == [{"requestId": result.request_id}]
    assert [set(record) for record in of(records, "platform.report")] == [{"requestId", "metrics"}]
    assert "hello" in of(records, "function")


def request(path: str, **changes: Any) -> list[Any]:
    body = {
        "schemaVersion": "2022-07-01" if path == TELEMETRY else "2020-08-15",
        "types": ["platform"],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4000"},
        **changes,
    }
    return [path, {name: value for name, value in body.items() if value is not None}]


WRONG = {
    "types": (request(TELEMETRY, types=[]), "types should not be empty"),
    "type": (request(TELEMETRY, types=["all"]), 'types should be of platform, function, extension, not "all"'),
    "schema": (request(TELEMETRY, schemaVersion=None), "schemaVersion is not provided"),
    "version": (
        request(TELEMETRY, schemaVersion="1"),
        "schemaVersion should be one of: 2022-07-01, 2022-12-13, 2025-01-29",
    ),
    "port": (
        request(TELEMETRY, types=[], destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain"}),
        "types should not be empty; URI port is not provided",
    ),
    "host": (
        request(TELEMETRY, destination={"protocol": "HTTP", "URI": "http://example.com:80"}),
        "destination.URI host must be sandbox.localdomain",
    ),
    "https": (
        request(TELEMETRY, destination={"protocol": "HTTP", "URI": "https://sandbox:80"}),
        "destination.URI should be http://sandbox.localdomain:port/path",
    ),
    "reserved": (
        request(TELEMETRY, destination={"protocol": "TCP", "port": 9_001}),
        "the port should be an integer from 1 to 65535, and not 9001",
    ),
    "protocol": (request(TELEMETRY, destination={"protocol": "UDP"}), "destination.protocol should be HTTP or TCP"),
    "nowhere": (request(TELEMETRY, destination=None), "destination is not provided"),
    "items": (
        request(TELEMETRY, buffering={"maxItems": 999}),
        "buffering.maxItems should be an integer from 1000 to 10000",
    ),
    "bytes": (
        request(TELEMETRY, buffering={"maxBytes": 1}),
        "buffering.maxBytes should be an integer from 262144 to 1048576",
    ),
    "time": (
        request(TELEMETRY, buffering={"timeoutMs": 24}),
        "buffering.timeoutMs should be an integer from 25 to 30000",
    ),
    "logs": (request(LOGS, types=[]), "types should not be empty"),
    "both": (request(LOGS), "an extension subscribes to the Telemetry API or to the Logs API, not to both"),
}


def test_subscriptions_that_are_refused_and_the_words_for_it(deploy: Any) -> None:
    own = {"Lambda-Extension-Identifier": "OWN"}
    tried = [[title, "PUT", *asked, own] for title, (asked, _) in WRONG.items()]
    function = subscriber(deploy, ["platform"], how={"try": tried, "tell_all": False})
    answer(function, {})
    said = {}
    for line in function.whole_log():
        if line.startswith("probe: tried "):
            title, status, body = line.removeprefix("probe: tried ").split(" ", 2)
            error = json.loads(body)
            kind = "Logs.ValidationError" if WRONG[title][0][0] == LOGS else "ValidationError"
            assert (status, error["errorType"]) == ("400", kind)
            said[title] = error["errorMessage"]
    assert said == {title: message for title, (_, message) in WRONG.items()}


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (TELEMETRY, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed already"),
        (LOGS, "Logs.SubscriptionClosed", "Logs API subscription is closed already"),
    ],
)
def test_after_init_nobody_subscribes(deploy: Any, path: str, kind: str, message: str) -> None:
    tried = [["late", "PUT", *request(path), {"Lambda-Extension-Identifier": "OWN"}]]
    function = extended(deploy, "probe", how={"probe": {"try_late": tried}})
    answer(function, {})
    (line,) = [line for line in function.whole_log() if line.startswith("probe: tried late")]
    status, body = line.removeprefix("probe: tried late ").split(" ", 1)
    assert status == "403"
    assert json.loads(body) == {"errorMessage": message, "errorType": kind}

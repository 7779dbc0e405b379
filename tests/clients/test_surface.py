"""What a client offers is what the engine offers: the same names, values and errors, over a socket."""

from __future__ import annotations

import inspect
import os
import random
import time
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from doors import ONE_VCPU_MB, PATIENCE_S
from faces import Face

import engine
import engine.sync
from engine import InvokeResult, errors
from engine.client import asynchronous, blocking

SEVERAL = 64
OPENING = {"open", "close", "listening_on", "export_ledger", "blocking_invoke", "blocking_stream", "doorway", "drain"}


@pytest.fixture
def name(client: Face) -> Iterator[str]:
    """A name for a function that the test makes; it is deleted afterwards."""
    made = f"f-{uuid4().hex[:8]}"
    yield made
    client.delete_function(made)


def methods(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def arguments(kind: type, method: str) -> set[tuple[str, object]]:
    """The names and kinds of those that have names."""
    given = inspect.signature(getattr(kind, method)).parameters.values()
    return {(each.name, each.kind) for each in given if each.kind is not each.VAR_KEYWORD}


@pytest.mark.parametrize(
    ("client", "embedded"), [(asynchronous.Client, engine.Engine), (blocking.Client, engine.sync.Engine)]
)
def test_a_client_has_every_method_of_the_engine_with_its_arguments(client: type, embedded: type) -> None:
    for method in methods(embedded) - OPENING:
        assert method in methods(client), method
        assert arguments(embedded, method) <= arguments(client, method), method


def test_both_clients_have_the_same_methods() -> None:
    assert methods(asynchronous.Client) - {"open"} == methods(blocking.Client)


def test_an_answer_comes_with_everything_a_result_has(client: Face) -> None:
    result = client.invoke("echo", {"name": "Ada"}, log_tail=True)
    assert isinstance(result, InvokeResult)
    assert result.json() == {"name": "Ada"}
    assert (result.status_code, result.function_error, result.executed_version) == (200, None, "$LATEST")
    assert (result.memory_mb, len(result.request_id), result.billed_ms >= 1) == (1769, 36, True)
    assert "seen {'name': 'Ada'}" in result.log_tail and "REPORT" in result.log_tail
    assert client.logs("echo", request_id=result.request_id)[-1].message.startswith("REPORT")


def test_options_travel(client: Face) -> None:
    assert client.invoke("echo", "context", client_context={"custom": {"k": "v"}}).json() == {"k": "v"}
    assert client.invoke("echo", 1, invocation_type="DryRun").status_code == 204
    assert client.invoke("echo", 1, qualifier="$LATEST").json() == 1
    assert client.invoke("echo").json() == {}
    assert client.invoke("echo", b"[1, 2]").json() == [1, 2]


def test_a_function_error_is_a_result(client: Face) -> None:
    result = client.invoke("echo", "fail")
    assert (result.function_error, result.json()["errorType"]) == ("Unhandled", "ValueError")


def test_refusals_are_the_engines_own_exceptions(client: Face) -> None:
    with pytest.raises(errors.ResourceNotFoundException, match="nobody"):
        client.invoke("nobody", 1)
    with pytest.raises(errors.InvalidParameterValueException, match="not a JSON value"):
        client.invoke("echo", object())
    with pytest.raises(errors.RequestTooLargeException, match="6291457"):
        client.invoke("echo", b'"' + b"x" * 6_291_455 + b'"')
    with pytest.raises(errors.ResourceConflictException):
        client.create_function("echo", code=b"PK\x05\x06" + bytes(18), handler="app.handler")
    with pytest.raises(errors.InvalidParameterValueException, match=r"/nowhere.*does not exist"):
        client.create_function("other", code="/nowhere", handler="app.handler")


def test_a_throttle_says_its_reason(client: Face, name: str, source: Path) -> None:
    client.create_function(name, code=source, handler="app.handler")
    assert client.get_function_concurrency(name) is None
    client.put_function_concurrency(name, 0)
    assert client.get_function_concurrency(name) == 0
    with pytest.raises(errors.TooManyRequestsException) as refused:
        client.invoke(name, 1)
    assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.delete_function_concurrency(name)
    assert client.invoke(name, 1).json() == 1


def test_the_largest_event_and_answer_go_through(client: Face) -> None:
    event = b'"' + b"x" * (6_291_456 - 2) + b'"'
    assert client.invoke("echo", event).payload == event


def test_an_event_is_accepted_and_its_function_has_the_callers_trace(client: Face, name: str, source: Path) -> None:
    client.create_function(name, code=source, handler="app.handler", memory_mb=ONE_VCPU_MB)
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    accepted = client.invoke(name, {"n": 1}, invocation_type="Event", trace_header=trace)
    assert (accepted.status_code, accepted.payload) == (202, b"")
    deadline = time.monotonic() + PATIENCE_S
    while client.stats(name)["functions"][name]["events"]["$LATEST"]["depth"]:
        assert time.monotonic() < deadline
    reports = [line for line in client.logs(name) if line.message.startswith("REPORT")]
    assert [line.request_id for line in reports] == [accepted.request_id]
    with pytest.raises(errors.InvalidParameterValueException, match="X-Amzn-Trace-Id"):
        client.invoke(name, trace_header="\n")


def test_what_a_function_reaches_and_how_it_starts_travel_both_ways(client: Face, name: str, source: Path) -> None:
    made = client.create_function(name, code=source, handler="app.handler", network="loopback", snap_start=True)
    assert (made.network, made.snap_start) == ("loopback", True)
    changed = client.update_function_configuration(name, network=None, snap_start=False)
    assert (changed.network, changed.snap_start) == (None, False)
    assert client.get_function(name) == changed
    with pytest.raises(errors.ValidationException, match=r"\[host, loopback, none\]"):
        client.update_function_configuration(name, network="lan")


def test_provisioned_concurrency_travels(client: Face, name: str, source: Path) -> None:
    client.create_function(name, code=source, handler="app.handler", memory_mb=1769)
    client.publish_version(name)
    with pytest.raises(errors.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(name, "1")
    asked = client.put_provisioned_concurrency_config(name, "1", 1)
    assert (asked.requested_provisioned_concurrent_executions, asked.function_arn[-2:]) == (1, ":1")
    while client.get_provisioned_concurrency_config(name, "1").status != "READY":
        assert client.ping() == "pong"
    assert client.invoke(name, 1, qualifier="1").start == "provisioned"
    (told,) = client.list_provisioned_concurrency_configs(name)
    assert (told.status, told.status_reason, told.available_provisioned_concurrent_executions) == ("READY", None, 1)
    assert client.stats(name)["functions"][name]["versions"]["1"]["provisioned"]["invocations"] == 1
    assert client.bill(by="version").total.provisioned_gb_seconds > 0
    with pytest.raises(errors.InvalidParameterValueException, match="unpublished"):
        client.put_provisioned_concurrency_config(name, "$LATEST", 1)
    client.delete_provisioned_concurrency_config(name, "1")
    assert client.list_provisioned_concurrency_configs(name) == []


def test_what_happens_to_events_travels(client: Face, name: str, source: Path) -> None:
    queue = "arn:aws:sqs:us-east-1:000000000000:failed"
    made = client.create_function(name, code=source, handler="app.handler", dead_letter_target_arn=queue)
    assert made.dead_letter_target_arn == queue
    assert client.update_function_configuration(name, memory_mb=256).dead_letter_target_arn == queue
    assert client.update_function_configuration(name, dead_letter_target_arn="").dead_letter_target_arn is None
    with pytest.raises(errors.ResourceNotFoundException, match="doesn't have an EventInvokeConfig"):
        client.get_function_event_invoke_config(name)
    said = client.put_function_event_invoke_config(
        name,
        maximum_retry_attempts=0,
        maximum_event_age_s=60,
        on_success=f"{made.function_arn[:-10]}echo",
        on_failure="",
    )
    assert (said.function_arn, said.last_modified[-5:]) == (f"{made.function_arn}:$LATEST", "+0000")
    assert (said.maximum_retry_attempts, said.maximum_event_age_s, said.on_failure) == (0, 60, None)
    client.create_alias(name, "live", "$LATEST")
    of_alias = client.put_function_event_invoke_config(name, qualifier="live", on_failure=queue)
    changed = client.update_function_event_invoke_config(name, on_success="", on_failure=queue, maximum_event_age_s=61)
    assert (changed.maximum_retry_attempts, changed.maximum_event_age_s) == (0, 61)
    assert (changed.on_success, changed.on_failure) == (None, queue)
    assert client.list_function_event_invoke_configs(name) == [changed, of_alias]
    assert client.get_function_event_invoke_config(name, qualifier="live") == of_alias
    with pytest.raises(errors.ValidationException, match="'3' at 'maximumRetryAttempts'"):
        client.put_function_event_invoke_config(name, maximum_retry_attempts=3)
    client.delete_function_event_invoke_config(name)
    assert client.list_function_event_invoke_configs(name) == [of_alias]


def test_versions_and_aliases(client: Face, name: str, source: Path) -> None:
    made = client.create_function(
        name, code=source, handler="app.handler", memory_mb=256, environment={"K": "V"}, description="d"
    )
    assert (made.memory_mb, dict(made.environment), made.description) == (256, {"K": "V"}, "d")
    assert client.publish_version(name, description="first").version == "1"
    assert client.update_function_configuration(name, memory_mb=128, environment={}).memory_mb == 128
    assert dict(client.get_function(name).environment) == {}
    assert client.get_function(name, qualifier="1").memory_mb == 256
    assert client.create_alias(name, "live", "1").function_version == "1"
    assert client.update_alias(name, "live", description="now").description == "now"
    assert client.get_alias(name, "live").name == "live"
    assert [alias.name for alias in client.list_aliases(name)] == ["live"]
    assert [version.version for version in client.list_versions(name)] == ["$LATEST", "1"]
    assert client.invoke(f"{name}:live", 1).executed_version == "1"
    client.delete_alias(name, "live")
    assert client.list_aliases(name) == []
    client.delete_function(name, qualifier="1")
    assert [version.version for version in client.list_versions(name)] == ["$LATEST"]
    assert name in [function.function_name for function in client.list_functions()]


def test_code_is_a_folder_a_zip_bytes_or_a_file_and_layers_too(
    client: Face, name: str, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "app.py").write_text("import extra\ndef handler(event, context): return extra.WORD\n")
    layer = tmp_path / "layer"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "extra.py").write_text("WORD = 'layered'\n")
    client.create_function(name, code=folder, handler="app.handler", layers=[layer])
    assert client.invoke(name, 1).json() == "layered"
    zipped = tmp_path / "code.zip"
    with zipfile.ZipFile(zipped, "w") as bundle:
        bundle.write(source, "app.py")
    assert client.update_function_code(name, code=zipped).code.size == zipped.stat().st_size
    assert client.invoke(name, 2).json() == 2
    assert client.update_function_code(name, code=zipped.read_bytes()).code.size == zipped.stat().st_size
    assert client.update_function_configuration(name, layers=[]).layers == ()


@pytest.mark.parametrize("as_bytes", [True, False])
def test_code_larger_than_a_message_is_sent_in_parts(
    client: Face, name: str, source: Path, tmp_path: Path, as_bytes: bool
) -> None:
    zipped = tmp_path / "large.zip"
    with zipfile.ZipFile(zipped, "w") as bundle:
        bundle.write(source, "app.py")
        bundle.writestr("noise", random.Random(7).randbytes(9 * 1024 * 1024))
    made = client.create_function(
        name, code=zipped.read_bytes() if as_bytes else zipped, handler="app.handler", layers=[zipped]
    )
    assert made.code.size == made.layers[0].size == os.path.getsize(zipped)
    assert client.invoke(name, "large").json() == "large"


def test_what_happened_is_told(client: Face) -> None:
    client.invoke("echo", 1)
    assert client.stats("echo")["functions"]["echo"]["versions"]["$LATEST"]["invocations"] >= 1
    assert set(client.stats()) >= {"functions", "environments", "limits"}
    bill = client.bill(by="version")
    line = next(line for line in bill.lines if line.function == "echo")
    assert (line.version, line.requests >= 1, isinstance(line.cost, Decimal)) == ("$LATEST", True, True)
    assert {"memory", "cpu"} <= {line["limit"] for line in client.doctor()["limits"]}
    assert {"provided", "nodejs"} <= {each["language"] for each in client.doctor()["runtimes"]}
    assert len(client.logs("echo", limit=2)) == 2
    assert client.ping() == "pong"


def test_pages_of_the_log_join_without_a_gap_or_a_repeat(client: Face, name: str, source: Path) -> None:
    client.create_function(name, code=source, handler="app.handler")
    page = client.logs_after(name)
    assert page.events == ()
    pieces = []
    for n in range(5):
        client.invoke(name, n)
        page = client.logs_after(name, page.cursor)
        pieces.extend(page.events)
    assert client.logs_after(name, page.cursor).events == ()
    assert pieces == client.logs(name)
    assert len(client.logs_after(name, limit=3).events) == 3
    with pytest.raises(errors.InvalidParameterValueException, match="cursor='x'"):
        client.logs_after(name, "x")


def test_many_calls_at_once_each_get_their_own_answer(client: Face) -> None:
    calls = [client.start("invoke", "echo", {"n": n}) for n in range(SEVERAL)]
    assert [call.result(60).json() for call in calls] == [{"n": n} for n in range(SEVERAL)]
    told = client.statistics()
    assert (told.outstanding, told.connections, told.calls == told.answers) == (0, 1, True)

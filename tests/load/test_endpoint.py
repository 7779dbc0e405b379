"""`--endpoint`: Lambda's REST interface, against a real HTTP server that answers as Lambda does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lambda_server
import pytest
from planned import Benched, command

Bench = Callable[..., Benched]


@pytest.fixture
def server() -> Iterator[lambda_server.LambdaServer]:
    with lambda_server.running() as running:
        yield running


def test_calls_are_signed_and_connections_are_kept(bench: Bench, server: lambda_server.LambdaServer) -> None:
    done = bench("--endpoint", server.url, "echo", "--count", "40", "--concurrency", "2", "--payload", '{"n": 1}')
    assert (done.status, done.document["calls"]["ok"]) == (0, 40)
    assert {(path, event) for path, _, event in server.requests} == {
        ("/2015-03-31/functions/echo/invocations", b'{"n": 1}')
    }
    assert all(h["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=") for _, h, _ in server.requests)
    assert all("/us-east-1/lambda/aws4_request" in headers["Authorization"] for _, headers, _ in server.requests)
    assert server.connections == 2
    assert done.document["billing"]["billed_ms"] is done.document["cpu"]["us_per_invocation"] is None
    assert done.document["starts"]["unknown"] == 40


def test_the_log_tail_tells_bill_and_cold_starts(bench: Bench, server: lambda_server.LambdaServer) -> None:
    done = bench("--endpoint", server.url, "echo", "--count", "10", "--concurrency", "1", "--log-tail")
    assert done.document["billing"]["billed_ms"] == 1_050
    assert done.document["billing"]["gb_seconds"] == 1.05 * 0.5
    assert (done.document["starts"]["cold"], done.document["starts"]["warm"]) == (1, 9)


def test_each_way_of_failing_has_its_kind(bench: Bench, server: lambda_server.LambdaServer) -> None:
    done = bench("--endpoint", server.url, "echo", "fail", "busy", "gone", "broken", "--count", "200", "--seed", "4")
    kinds = {(error["kind"], error["type"]) for error in done.document["errors"]}
    assert kinds == {
        ("function", "KeyError"),
        ("throttle", "ReservedFunctionConcurrentInvocationLimitExceeded"),
        ("refusal", "ResourceNotFoundException"),
        ("transport", "ServerDisconnectedError"),
    }
    calls = done.document["calls"]
    assert calls["sent"] == 200 == calls["answered"] + calls["throttled"] + calls["refused"] + calls["transport_errors"]
    assert done.status == 1  # for the transport errors


def test_a_run_in_which_nothing_succeeds_ends_with_status_1(bench: Bench, server: lambda_server.LambdaServer) -> None:
    assert bench("--endpoint", server.url, "gone", "--count", "5").status == 1


def test_where_nothing_listens_calls_are_transport_errors(bench: Bench) -> None:
    with lambda_server.running() as server:
        url = server.url
    done = bench("--endpoint", url, "echo", "--count", "3", "--concurrency", "1")
    assert (done.status, done.document["calls"]["transport_errors"]) == (1, 3)
    assert "TRANSPORT: 3 calls failed on the way." in done.output


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://192.0.2.1:80", "'192.0.2.1' is not this host"),
        ("https://lambda.us-east-1.amazonaws.com", "add --allow-remote"),
        ("127.0.0.1:3001", "'127.0.0.1:3001' is not an endpoint: write http://HOST:PORT"),
    ],
)
def test_load_does_not_leave_this_host_by_mistake(url: str, told: str) -> None:
    done = command("--endpoint", url, "echo")
    assert done.exit_code == 2
    assert told in done.stderr

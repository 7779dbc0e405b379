"""Destinations and dead letters end to end: real services, records with Lambda's fields, nothing lost silently."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from aws import CREDENTIALS, Aws
from living import HOUR_MS, MINUTE_MS, Life, living, run

from engine.config import HOPS_MAX
from engine.errors import RecursiveInvocationException

WHEN = re.compile(r"2027-01-15T\d\d:\d\d:\d\d\.\d{3}Z")
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def aws_settings(aws: Aws) -> dict[str, Any]:
    return {"aws_endpoint_url": aws.endpoint_url, "credentials": CREDENTIALS, "account_id": "123456789012"}


async def arn(life: Life, name: str) -> str:
    return (await life.engine.get_function(name)).function_arn


def test_a_function_is_told_of_a_success_and_of_a_failure() -> None:
    async def test() -> None:
        async with living() as life:
            for name, handler in (("fails", "fails"), ("good", "says"), ("bad", "says")):
                await life.deploy(name, handler)
            await life.engine.put_function_event_invoke_config(
                "fails", on_success=await arn(life, "good"), on_failure=await arn(life, "bad")
            )
            well = await life.send("fails", {"times": 1})
            ill = await life.send("fails", {"times": 9})
            await life.pass_time(3 * MINUTE_MS)
            (success,), (failure,) = await life.records("good"), await life.records("bad")
            assert WHEN.fullmatch(success.pop("timestamp"))
            assert success == {
                "version": "1.0",
                "requestContext": {
                    "requestId": well,
                    "functionArn": f"{await arn(life, 'fails')}:$LATEST",
                    "condition": "Success",
                    "approximateInvokeCount": 2,
                },
                "requestPayload": {"times": 1},
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
                "responsePayload": "at last",
            }
            assert failure["requestContext"] == {
                "requestId": ill,
                "functionArn": f"{await arn(life, 'fails')}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            }
            assert failure["responseContext"]["functionError"] == "Unhandled"
            assert failure["responsePayload"]["errorMessage"] == "try 3"
            assert (await life.counts("fails"))["destinations_delivered"] == 2

    run(test)


def test_records_and_dead_letters_arrive_in_queues_topics_buckets_and_on_buses(aws: Aws) -> None:
    async def test() -> None:
        queue, topic, bucket, bus, letters = aws.queue(), aws.topic(), aws.bucket(), aws.bus(), aws.queue()
        from_topic, from_bus = aws.subscribed(topic), aws.ruled(bus, {"source": ["lambda"]})
        async with living(**aws_settings(aws)) as life:
            targets = {"queue": queue, "topic": topic, "bus": bus}
            for name, target in targets.items():
                await life.deploy(name, "says")
                await life.engine.put_function_event_invoke_config(name, on_success=target)
                await life.send(name, {"to": name})
            await life.deploy("bucket", "fails", dead_letter_target_arn=letters)
            await life.engine.put_function_event_invoke_config("bucket", on_failure=bucket, maximum_retry_attempts=0)
            request_id = await life.send("bucket", {"times": 9})
            await life.quiet()
            assert json.loads(aws.received(queue)["Body"])["responsePayload"] == {"said": {"to": "queue"}}
            assert json.loads(aws.received(from_topic)["Body"])["requestPayload"] == {"to": "topic"}
            event = json.loads(aws.received(from_bus)["Body"])
            assert event["detail-type"] == "Lambda Function Invocation Result - Success"
            assert event["detail"]["requestPayload"] == {"to": "bus"}
            ((key, record),) = aws.objects(bucket).items()
            assert key.startswith("aws/lambda/async/bucket/2027/01/15/")
            assert json.loads(record)["requestContext"]["requestId"] == request_id
            letter = aws.received(letters)
            attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
            assert json.loads(letter["Body"]) == {"times": 9}
            assert attributes == {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "try 1"}
            assert (await life.engine.stats())["events"]["destinations_waiting"] == 0

    run(test)


def nobody() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_destination_that_fails_is_tried_for_an_hour_and_then_counted() -> None:
    async def test() -> None:
        async with living(aws_endpoint_url=nobody(), credentials=CREDENTIALS) as life:
            await life.deploy("says", "says")
            target = "arn:aws:sqs:us-east-1:000000000000:gone"
            await life.engine.put_function_event_invoke_config("says", on_success=target)
            await life.send("says", {})
            await life.quiet()
            assert (await life.engine.stats())["events"]["destinations_waiting"] == 1
            await life.pass_time(HOUR_MS)
            counts = await life.counts("says")
            assert (counts["DestinationDeliveryFailures"], counts["DeadLetterErrors"]) == (1, 0)
            assert (await life.engine.stats())["events"]["destinations_waiting"] == 0

    run(test)


def test_a_dead_letter_that_cannot_be_delivered_is_counted_as_one() -> None:
    async def test() -> None:
        async with living(aws_endpoint_url=nobody(), credentials=CREDENTIALS) as life:
            target = "arn:aws:sqs:us-east-1:000000000000:gone"
            await life.deploy("fails", "fails", dead_letter_target_arn=target)
            await life.engine.put_function_event_invoke_config("fails", maximum_retry_attempts=0)
            await life.send("fails", {"times": 9})
            await life.pass_time(2 * HOUR_MS)
            counts = await life.counts("fails")
            assert (counts["DestinationDeliveryFailures"], counts["DeadLetterErrors"]) == (0, 1)

    run(test)


def test_what_was_not_delivered_is_delivered_by_the_next_engine(tmp_path: Path, aws: Aws) -> None:
    async def test() -> None:
        queue = aws.queue()
        settings = aws_settings(aws)
        async with living(tmp_path, **{**settings, "aws_endpoint_url": nobody()}) as life:
            await life.deploy("says", "says")
            await life.engine.put_function_event_invoke_config("says", on_success=queue)
            request_id = await life.send("says", {})
            await life.quiet()
            now_ms = life.clock.wall_ms()
        async with living(tmp_path, start_ms=now_ms + MINUTE_MS, **settings) as life:
            await life.quiet()
            assert json.loads(aws.received(queue)["Body"])["requestContext"]["requestId"] == request_id
            assert await life.runs("says") == []

    run(test)


def test_functions_that_call_each_other_for_ever_are_stopped() -> None:
    async def test() -> None:
        async with living() as life:
            for name in ("ping", "pong", "told"):
                await life.deploy(name, "traced" if name != "told" else "says")
            told = await arn(life, "told")
            await life.engine.put_function_event_invoke_config(
                "ping", on_success=await arn(life, "pong"), on_failure=told
            )
            await life.engine.put_function_event_invoke_config(
                "pong", on_success=await arn(life, "ping"), on_failure=told
            )
            await life.send("ping", {})
            await life.quiet()
            assert len(await life.runs("ping")) == len(await life.runs("pong")) == HOPS_MAX
            (record,) = await life.records("told")
            assert record["requestContext"]["condition"] == "RecursiveInvocation"
            assert record["responseContext"]["functionError"] == "RecursiveInvocationException"
            dropped = [(await life.counts(name))["RecursiveInvocationsDropped"] for name in ("ping", "pong")]
            assert dropped == [1, 0]
            roots = {trace.partition(";")[0] for trace in await life.said("ping", "trace ")}
            assert len(roots) == 1

    run(test)


def test_a_caller_in_a_chain_is_told_that_it_goes_round() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("traced", "traced")
            header, calls = TRACE, 0
            with pytest.raises(RecursiveInvocationException, match="in one chain"):
                while calls < 2 * HOPS_MAX:
                    header = (await life.engine.invoke("traced", trace_header=header)).json()
                    calls += 1
            assert calls == HOPS_MAX
            assert header.startswith(TRACE)
            again = (await life.engine.invoke("traced")).json()
            assert "Lineage" not in again

    run(test)


def test_a_function_that_may_calls_itself_on_and_on() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("traced", "traced")
            await life.engine.put_function_recursion_config("traced", "Allow")
            header = TRACE
            for _ in range(HOPS_MAX + 3):
                header = (await life.engine.invoke("traced", trace_header=header)).json()
            await life.send("traced", {}, trace_header=header)
            await life.quiet()
            assert (await life.counts("traced"))["RecursiveInvocationsDropped"] == 0
            assert len(await life.runs("traced")) == HOPS_MAX + 4
            await life.engine.put_function_recursion_config("traced", "Terminate")
            await life.send("traced", {}, trace_header=header)
            await life.quiet()
            assert (await life.counts("traced"))["RecursiveInvocationsDropped"] == 1
            with pytest.raises(RecursiveInvocationException, match="in one chain"):
                await life.engine.invoke("traced", trace_header=header)

    run(test)

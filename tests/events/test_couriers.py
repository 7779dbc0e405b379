"""Couriers for real: boto3 in a process of its own, moto at the other end, and what happens when either is gone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
import uvloop
from aws import ACCOUNT, CREDENTIALS, PATIENCE_S, REGION, Aws

from engine.core.events import couriers, records
from engine.core.events.couriers import Courier
from engine.core.events.parcels import Parcel

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders"
WHEN_MS = 1_573_755_365_568
RECORD = records.invocation_record(
    request_id="e4b46cbf-b738-4ef5-8880-a18cdf61200e",
    function_arn=FUNCTION,
    condition="RetriesExhausted",
    attempts=3,
    when_ms=WHEN_MS,
    event='{"text": "λ 雪 🙂"}'.encode(),
    response=records.Response(200, "$LATEST", "Unhandled", b'{"errorMessage":"no luck"}'),
)
NOBODY = f"arn:aws:sns:{REGION}:{ACCOUNT}:nobody"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@asynccontextmanager
async def opened(endpoint_url: str | None, **given: Any) -> AsyncIterator[Courier]:
    courier = Courier(
        asyncio.get_running_loop(), endpoint_url=endpoint_url, **{"credentials": CREDENTIALS, "idle_s": 60.0, **given}
    )
    try:
        yield courier
    finally:
        courier.stop()
        await asyncio.to_thread(courier.close)


def sent(courier: Courier, parcel: Parcel) -> asyncio.Future[str | None]:
    told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    courier.send(parcel, told.set_result)  # which raises when it is told twice
    return told


def destination(arn: str, *, succeeded: bool = False) -> Parcel:
    return records.destination(
        arn, RECORD, succeeded=succeeded, function_arn=FUNCTION, when_ms=WHEN_MS, unique=str(uuid.uuid4())
    )


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def asked(silent: socket.socket) -> socket.socket:
    """Wait for a request. It is under way for as long as its connection is open."""
    return (await asyncio.get_running_loop().sock_accept(silent))[0]


def test_a_record_arrives_in_a_queue(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, destination(queue)) is None
            assert aws.received(queue)["Body"].encode() == RECORD

    run(deliver())


def test_a_record_arrives_at_subscribers_of_a_topic(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        topic = aws.topic()
        queue = aws.subscribed(topic)
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, destination(topic)) is None
            assert aws.received(queue)["Body"].encode() == RECORD

    run(deliver())


def test_a_record_lies_in_a_bucket_under_lambdas_name(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        bucket = aws.bucket()
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, destination(bucket)) is None
        ((key, body),) = aws.objects(bucket).items()
        assert re.fullmatch(r"aws/lambda/async/orders/2019/11/14/2019-11-14T18\.16\.05-[0-9a-f-]{36}", key)
        assert body == RECORD

    run(deliver())


@pytest.mark.parametrize(("succeeded", "word"), [(True, "Success"), (False, "Failure")])
def test_a_record_is_the_detail_of_an_event_on_a_bus(aws: Aws, run: Run, succeeded: bool, word: str) -> None:
    async def deliver() -> None:
        bus = aws.bus()
        queue = aws.ruled(bus, {"source": ["lambda"]})
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, destination(bus, succeeded=succeeded)) is None
            event = json.loads(aws.received(queue)["Body"])
        assert event["detail"] == json.loads(RECORD)
        assert event["detail-type"] == f"Lambda Function Invocation Result - {word}"
        assert event["resources"] == [bus, f"{FUNCTION}:$LATEST"]

    run(deliver())


@pytest.mark.parametrize("kind", ["queue", "topic"])
def test_a_dead_letter_arrives_with_its_attributes(aws: Aws, run: Run, kind: str) -> None:
    async def deliver() -> None:
        target = getattr(aws, kind)()
        queue = aws.subscribed(target) if kind == "topic" else target
        given = {"request_id": "e4b46cbf", "status_code": 200, "error_message": "no luck"}
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, records.dead_letter(target, b' {"a": 1}\n', **given)) is None
            message = aws.received(queue)
        assert message["Body"] == ' {"a": 1}\n'
        attributes = {
            name: (told["DataType"], told["StringValue"]) for name, told in message["MessageAttributes"].items()
        }
        assert attributes == {
            "RequestID": ("String", "e4b46cbf"),
            "ErrorCode": ("Number", "200"),
            "ErrorMessage": ("String", "no luck"),
        }

    run(deliver())


def test_many_parcels_at_once_all_arrive(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        bodies = {
            json.dumps({"number": number, "fill": "x" * 3_000}) for number in range(150)
        }  # more than are in hand at once
        async with opened(aws.endpoint_url) as courier:
            told = await asyncio.gather(*(sent(courier, Parcel(queue, body.encode())) for body in bodies))
        assert set(told) == {None}
        assert {aws.received(queue)["Body"] for _ in bodies} == bodies

    run(deliver())


def test_the_largest_record_goes_through_the_socket(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        bucket = aws.bucket()
        body = os.urandom(couriers.PARCEL_BYTES)
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, Parcel(bucket, body, region=REGION, key="large")) is None
            too_large = await sent(courier, Parcel(bucket, body + b"x", region=REGION, key="too-large"))
        assert too_large is not None and "16,777,217 bytes" in too_large
        assert aws.objects(bucket) == {"large": body}

    run(deliver())


def test_a_record_that_is_too_large_for_its_queue_is_an_error(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        async with opened(aws.endpoint_url) as courier:
            told = await sent(courier, Parcel(queue, b'"' + b"x" * 2_000_000 + b'"'))
        assert told is not None and told.startswith(f"{queue}: ")

    run(deliver())


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:nowhere",
        f"arn:aws:sns:{REGION}:{ACCOUNT}:nowhere",
        f"arn:aws:s3:::nowhere-{uuid.uuid4()}",
    ],
    ids=["queue", "topic", "bucket"],
)
def test_a_target_that_does_not_exist_is_named(aws: Aws, run: Run, arn: str) -> None:
    async def deliver() -> None:
        async with opened(aws.endpoint_url) as courier:
            told = await sent(courier, destination(arn))
            assert told is not None and told.startswith(f"{arn}: ")
            assert await sent(courier, destination(aws.queue())) is None

    run(deliver())


def test_a_queue_that_was_deleted_and_made_again_is_found(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        name = queue.rsplit(":", 1)[1]
        async with opened(aws.endpoint_url) as courier:
            assert await sent(courier, destination(queue)) is None
            aws.client("sqs").delete_queue(QueueUrl=aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"])
            assert "NonExistentQueue" in (await sent(courier, destination(queue)) or "")
            aws.client("sqs").create_queue(QueueName=name)
            assert await sent(courier, destination(queue)) is None

    run(deliver())


def test_what_is_no_text_cannot_go_to_a_queue(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        async with opened(aws.endpoint_url) as courier:
            told = await sent(courier, Parcel(aws.queue(), b"\xff"))
        assert told is not None and "not UTF-8" in told

    run(deliver())


def test_endpoints_of_the_environment_are_asked(aws: Aws, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        async with opened(None) as courier:
            assert await sent(courier, destination(queue)) is None
        assert aws.received(queue)["Body"].encode() == RECORD

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", aws.endpoint_url)
    run(deliver())


def test_no_credentials_are_a_clear_error(
    aws: Aws, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def deliver() -> None:
        async with opened(aws.endpoint_url, credentials={}) as courier:
            told = await sent(courier, destination(NOBODY))
        assert told is not None and "no AWS credentials were found: give the engine `credentials`" in told

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    run(deliver())


def test_credentials_that_are_given_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another key")
    monkeypatch.setenv("AWS_PROFILE", "another")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/of/this/host")
    given = couriers._environment(CREDENTIALS)
    assert given.items() >= CREDENTIALS.items()
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & set(given)
    assert given["AWS_CA_BUNDLE"] == "/of/this/host"
    assert couriers._environment({})["AWS_PROFILE"] == "another"


def test_a_killed_courier_is_an_error_and_the_next_parcel_arrives(
    aws: Aws, run: Run, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        async with opened(None) as courier:
            told = [sent(courier, destination(NOBODY)) for _ in range(3)]
            with await asked(silent):
                first = courier.pid
                assert first is not None
                os.kill(first, signal.SIGKILL)
                assert {await each for each in told} == {
                    f"{NOBODY}: the courier ended (SIGKILL) while it had this in hand"
                }
                assert await sent(courier, destination(queue)) is None
                assert courier.pid not in (first, None)
        assert aws.received(queue)["Body"].encode() == RECORD

    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", url_of(silent))
    run(deliver())


def test_a_courier_that_cannot_be_started_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver() -> None:
        async with opened(None) as courier:
            told = await sent(courier, destination(NOBODY))
            assert told is not None and told.startswith(f"{NOBODY}: ") and "/nowhere/python" in told
            assert courier.pid is None

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    run(deliver())


def test_a_courier_that_ends_at_once_is_an_error_each_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver() -> None:
        async with opened(None) as courier:
            for _ in range(3):
                assert "ended (exit status 1)" in (await sent(courier, destination(NOBODY)) or "")

    monkeypatch.setattr(sys, "executable", "/bin/false")
    run(deliver())


def test_an_idle_courier_ends_and_the_next_parcel_starts_another(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        queue = aws.queue()
        pids = set()
        async with opened(aws.endpoint_url, idle_s=0.0) as courier:
            for _ in range(2):
                told = sent(courier, destination(queue))
                pid = courier.pid
                assert pid is not None
                pids.add(pid)
                pidfd = os.pidfd_open(pid)
                assert await told is None
                await asyncio.to_thread(select.select, [pidfd], [], [])
                os.close(pidfd)
                assert courier.pid is None
        assert len(pids) == 2

    run(deliver())


def test_no_process_is_started_before_the_first_parcel(run: Run) -> None:
    async def deliver() -> None:
        async with opened(None) as courier:
            assert courier.pid is None

    run(deliver())


def test_closing_answers_everything_once_and_leaves_no_process(run: Run, silent: socket.socket) -> None:
    async def deliver() -> None:
        async with opened(url_of(silent)) as courier:
            told = [sent(courier, destination(NOBODY)) for _ in range(100)]
            pid = courier.pid
            assert pid is not None and psutil.pid_exists(pid)
            with await asked(silent):
                courier.stop()
                assert {each.done() and "the engine is closing" in (each.result() or "") for each in told} == {True}
                await asyncio.to_thread(courier.close)
                assert not psutil.pid_exists(pid)
                assert "the engine is closing" in (await sent(courier, destination(NOBODY)) or "")

    run(deliver())


def test_a_courier_ends_with_its_engine(silent: socket.socket) -> None:
    """Killed, an engine says nothing; and a copy of its socket may be open in a process that it forked."""
    program = """
import asyncio, os, sys
from engine.core.events.couriers import Courier
from engine.core.events.parcels import Parcel
async def main():
    courier = Courier(asyncio.get_running_loop(), endpoint_url=sys.argv[1], credentials={"AWS_ACCESS_KEY_ID": "a"})
    courier.send(Parcel(sys.argv[2], b"{}"), print)
    if (forked := os.fork()) == 0:
        os.read(0, 1)
        os._exit(0)
    print(courier.pid, flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""

    command = [sys.executable, "-c", program, url_of(silent), NOBODY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None and engine.stdin is not None
        pidfd = os.pidfd_open(int(engine.stdout.readline()))
        engine.kill()
        try:
            assert select.select([pidfd], [], [], PATIENCE_S)[0] == [pidfd]
        finally:
            os.close(pidfd)
            engine.stdin.close()


def test_what_waits_is_bounded_and_what_is_over_is_refused(run: Run, silent: socket.socket) -> None:
    async def deliver() -> None:
        async with opened(url_of(silent)) as courier:
            first = sent(courier, destination(NOBODY))
            with await asked(silent):
                room = couriers.WAITING_MAX + couriers.IN_HAND_MAX
                told = [sent(courier, destination(NOBODY)) for _ in range(room + 1)]
                assert "full, with 10,000 parcels" in (await told[-1] or "")
                courier.stop()
                assert all(each.done() for each in [first, *told])

    run(deliver())


def test_what_waits_is_bounded_in_bytes(run: Run, silent: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver() -> None:
        async with opened(url_of(silent)) as courier:
            monkeypatch.setattr(couriers, "IN_HAND_MAX", 1)
            held = [sent(courier, Parcel(NOBODY, b"x" * 400)) for _ in range(3)]
            assert "full, with 2 parcels" in (await sent(courier, Parcel(NOBODY, b"x" * 400)) or "")
            assert not any(each.done() for each in held)

    monkeypatch.setattr(couriers, "WAITING_BYTES", 1_000)
    run(deliver())


def test_a_done_that_raises_does_not_keep_the_others_from_being_told(aws: Aws, run: Run) -> None:
    async def deliver() -> None:
        loop = asyncio.get_running_loop()
        problems: list[Any] = []
        loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
        queue = aws.queue()
        async with opened(aws.endpoint_url) as courier:
            courier.send(Parcel(queue, b"x" * couriers.PARCEL_BYTES + b"x"), lambda _: 1 // 0)
            assert "bytes" in (await sent(courier, Parcel(queue, b"x" * couriers.PARCEL_BYTES + b"x")) or "")
        assert [type(problem) for problem in problems] == [ZeroDivisionError]

    run(deliver())

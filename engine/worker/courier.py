"""A courier: sends parcels to other services of AWS with boto3, on the engine's order. Started by path, not imported.

It takes `[number, parcel]` on a socket and answers `[number, None or what went wrong]`, in any order. It ends, and what
is under way with it, when the engine closes its end or is gone. The main thread reads, `THREADS` others send, and one
looks out for the engine's end. No more is read than `AHEAD_MAX` parcels: the rest waits at the engine.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

THREADS = 8
AHEAD_MAX = 16
READ_BYTES = 262_144
PARCEL_BYTES = 33_554_432  # the engine's bound on a body, twice: a parcel has a little more to it
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
ERROR_CHARS = 2_000
QUEUE_URLS_MAX = 10_000
REGION_DEFAULT = "us-east-1"
NO_CREDENTIALS = (
    "no AWS credentials were found: give the engine `credentials`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


class RefusedError(Exception):
    """The service took the request and refused what was in it."""


class Services:
    """Clients of AWS's services, each made once for each region. All threads share them."""

    def __init__(self, endpoint_url: str | None) -> None:
        self._endpoint_url = endpoint_url
        self._clients: dict[tuple[str, str], Any] = {}
        self._queue_urls: dict[str, str] = {}
        self._making = threading.Lock()
        self._session: Any = None

    def deliver(self, parcel: dict[str, Any]) -> None:
        """Send it. Raises what boto3 raises, or RefusedError."""
        deliver = {"sqs": self._to_queue, "sns": self._to_topic, "s3": self._to_bucket, "events": self._to_bus}
        kind = parcel["kind"]
        deliver[kind](self._client(kind, parcel.get("region", "")), parcel)

    def _client(self, service: str, region: str) -> Any:
        with self._making:
            client = self._clients.get((service, region))
            if client is None:
                client = self._clients[service, region] = self._make(service, region)
            return client

    def _make(self, service: str, region: str) -> Any:
        import boto3
        from botocore.config import Config

        if self._session is None:
            self._session = boto3.Session()
        # A bucket's name in front of the host's is only resolved where AWS is asked.
        own_host = self._endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # the engine tries again
            max_pool_connections=THREADS,
            s3={"addressing_style": "path" if own_host else "auto"},
        )
        region = region or self._session.region_name or REGION_DEFAULT
        return self._session.client(service, region_name=region, endpoint_url=self._endpoint_url, config=config)

    def _to_queue(self, client: Any, parcel: dict[str, Any]) -> None:
        url = self._queue_url(client, parcel["arn"])
        attributes = _message_attributes(parcel)
        try:
            client.send_message(QueueUrl=url, MessageBody=parcel["body"].decode(), MessageAttributes=attributes)
        except client.exceptions.QueueDoesNotExist:
            self._queue_urls.pop(parcel["arn"], None)
            raise

    def _queue_url(self, client: Any, arn: str) -> str:
        url = self._queue_urls.get(arn)
        if url is None:
            account, name = arn.split(":")[4:6]
            url = str(client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])
            if len(self._queue_urls) >= QUEUE_URLS_MAX:
                self._queue_urls.clear()
            self._queue_urls[arn] = url
        return url

    def _to_topic(self, client: Any, parcel: dict[str, Any]) -> None:
        attributes = _message_attributes(parcel)
        client.publish(TopicArn=parcel["arn"], Message=parcel["body"].decode(), MessageAttributes=attributes)

    def _to_bucket(self, client: Any, parcel: dict[str, Any]) -> None:
        bucket = parcel["arn"].split(":", 5)[5]
        client.put_object(Bucket=bucket, Key=parcel["key"], Body=parcel["body"], ContentType="application/json")

    def _to_bus(self, client: Any, parcel: dict[str, Any]) -> None:
        entry = {
            "EventBusName": parcel["arn"],
            "Source": parcel["source"],
            "DetailType": parcel["detail_type"],
            "Detail": parcel["body"].decode(),
            "Resources": parcel.get("resources", []),
        }
        answer = client.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            failed = answer["Entries"][0]
            raise RefusedError(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")


def _message_attributes(parcel: dict[str, Any]) -> dict[str, dict[str, str]]:
    given = parcel.get("attributes", {})
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in given.items()}


def what_went_wrong(error: BaseException, arn: str) -> str:
    """For whoever looks for the record there, and does not find it."""
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        said = NO_CREDENTIALS if kind == "NoCredentialsError" else f"{error}"
    elif isinstance(error, UnicodeDecodeError):
        said = f"what is to be sent is not UTF-8 text: {error}"
    elif isinstance(error, ImportError):
        said = f"{error}: install invocation-engine with its dependencies"
    else:
        said = f"{kind}: {error}"
    return f"{arn}: {said}"[:ERROR_CHARS]


class Courier:
    """Takes parcels from the engine's socket, and answers there."""

    def __init__(self, control: socket.socket, services: Services) -> None:
        self._control = control
        self._services = services
        self._room = threading.Semaphore(AHEAD_MAX)
        self._telling = threading.Lock()

    def serve(self) -> None:
        """Until the engine has closed its end."""
        import msgpack

        self._pack = msgpack.packb
        unpacker = msgpack.Unpacker(max_buffer_size=PARCEL_BYTES)
        with ThreadPoolExecutor(THREADS) as pool:
            while data := self._control.recv(READ_BYTES):
                unpacker.feed(data)
                for number, parcel in unpacker:
                    self._room.acquire()
                    sent = pool.submit(self._services.deliver, parcel)
                    sent.add_done_callback(partial(self._answer, number, parcel["arn"]))

    def _answer(self, number: int, arn: str, sent: Future[None]) -> None:
        self._room.release()
        error = sent.exception()
        answer = self._pack([number, None if error is None else what_went_wrong(error, arn)])
        with self._telling:
            self._control.sendall(answer)


def end_with_the_engine(control: socket.socket, host_pidfd: int) -> None:
    """End this process when the engine has closed its end, or is gone while a copy of that end is open somewhere."""
    poll = select.poll()
    poll.register(control, 0)  # a hang-up is always told
    poll.register(host_pidfd, select.POLLIN)
    poll.poll()
    os._exit(0)


def main() -> None:
    control_fd, host_pid, endpoint_url, *library_folders = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path += [folder for folder in library_folders if folder not in sys.path]
    control = socket.socket(fileno=int(control_fd))
    control.set_inheritable(False)
    host_pidfd = os.pidfd_open(int(host_pid))
    if os.getppid() != int(host_pid):
        return
    threading.Thread(target=end_with_the_engine, args=(control, host_pidfd), daemon=True).start()
    Courier(control, Services(endpoint_url or None)).serve()


if __name__ == "__main__":
    main()

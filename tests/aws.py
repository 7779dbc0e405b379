"""AWS's own services for tests, as moto serves them, in a process of its own; and what has arrived there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

ACCOUNT = "123456789012"  # moto's
REGION = "eu-west-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
PATIENCE_S = 60.0
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


class Aws:
    """Makes queues, topics, buckets and event buses, each of its own, and looks into them."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=self.endpoint_url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def queue(self) -> str:
        """The ARN of a new queue."""
        url = self.client("sqs").create_queue(QueueName=f"queue-{uuid.uuid4()}")["QueueUrl"]
        told = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(told["Attributes"]["QueueArn"])

    def topic(self) -> str:
        return str(self.client("sns").create_topic(Name=f"topic-{uuid.uuid4()}")["TopicArn"])

    def bucket(self) -> str:
        name = f"bucket-{uuid.uuid4()}"
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return f"arn:aws:s3:::{name}"

    def bus(self) -> str:
        return str(self.client("events").create_event_bus(Name=f"bus-{uuid.uuid4()}")["EventBusArn"])

    def subscribed(self, topic_arn: str) -> str:
        """The ARN of a new queue that gets what is published there, without SNS's envelope."""
        queue = self.queue()
        raw = {"RawMessageDelivery": "true"}
        self.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue, Attributes=raw)
        return queue

    def ruled(self, bus_arn: str, pattern: dict[str, Any]) -> str:
        """The ARN of a new queue that gets the events of that bus which match the pattern."""
        queue, rule, bus = self.queue(), f"rule-{uuid.uuid4()}", bus_arn.rsplit("/", 1)[1]
        self.client("events").put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
        self.client("events").put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "1", "Arn": queue}])
        return queue

    def received(self, queue_arn: str) -> dict[str, Any]:
        """The next message of a queue, which is then gone; waits for it."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[1])["QueueUrl"]
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MessageAttributeNames=["All"])
            for message in found.get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return dict(message)
        raise AssertionError(f"nothing came to {queue_arn} in {PATIENCE_S} s")

    def objects(self, bucket_arn: str) -> dict[str, bytes]:
        """What lies in a bucket, by key."""
        s3, bucket = self.client("s3"), bucket_arn.rsplit(":", 1)[1]
        keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return {key: self._object(bucket, key) for key in keys}

    def _object(self, bucket: str, key: str) -> bytes:
        with self.client("s3").get_object(Bucket=bucket, Key=key)["Body"] as body:
            return bytes(body.read())


@contextmanager
def serving() -> Iterator[Aws]:
    """A moto server; it ends with the block."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        aws = Aws(process.stdout.readline().strip())
        try:
            yield aws
        finally:
            aws.close()
            process.stdin.close()
            process.wait(PATIENCE_S)

"""F5: the kinds of event sources, and what a mapping of each kind may say.

Members, ranges and defaults: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html and the
pages on each source. Where messages of the service are on record they are used; the others are in their manner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import InvalidParameterValueException

MAPPING: Final = "event-source-mapping"  # kind of the documents, and part of a mapping's ARN

COMMON: Final = frozenset(
    {
        *("EventSourceArn", "FunctionName", "UUID", "Enabled", "BatchSize", "MaximumBatchingWindowInSeconds"),
        *("FilterCriteria", "KMSKeyArn", "MetricsConfig", "Tags"),
    }
)
POSITION: Final = frozenset({"StartingPosition", "StartingPositionTimestamp"})
RETRIES: Final = frozenset(
    {
        *("DestinationConfig", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "BisectBatchOnFunctionError"),
        "FunctionResponseTypes",
    }
)
SHARDS: Final = frozenset({"ParallelizationFactor", "TumblingWindowInSeconds"})
KAFKA: Final = POSITION | RETRIES | {"Topics", "SourceAccessConfigurations", "ProvisionedPollerConfig", "LoggingConfig"}
STREAM_DEFAULTS: Final[Mapping[str, Any]] = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "DestinationConfig": {"OnFailure": {}},
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}
KAFKA_DEFAULTS: Final[Mapping[str, Any]] = {"BatchSize": 100, "DestinationConfig": {"OnFailure": {}}}
ALL_POSITIONS: Final = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One kind of event source: `arn` is the shape of its ARNs, `identity` what besides it tells mappings apart."""

    title: str
    arn: re.Pattern[str] | None
    own: frozenset[str]  # members besides COMMON
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    positions: tuple[str, ...] = ALL_POSITIONS
    access: frozenset[str] | None = None  # types of SourceAccessConfigurations, None: all but a broker's
    destinations: tuple[str, ...] = ()
    identity: tuple[str, ...] = ("EventSourceArn",)
    metrics: tuple[str, ...] = ("EventCount",)
    pollers: tuple[int, int] = (1, 1)  # fewest, most of ProvisionedPollerConfig

    def takes(self, member: str) -> bool:
        return member in COMMON or member in self.own


def _arn(rest: str) -> re.Pattern[str]:
    return re.compile(r"arn:aws[a-zA-Z0-9-]*:" + rest, re.ASCII)


_WHERE: Final = r"[a-z0-9-]+:\d{12}:"
SQS: Final = SourceKind(
    "SQS",
    _arn(rf"sqs:{_WHERE}[a-zA-Z0-9_-]{{1,80}}(\.fifo)?"),
    frozenset({"ScalingConfig", "FunctionResponseTypes", "ProvisionedPollerConfig"}),
    defaults={"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    pollers=(2, 2_000),
)
KINESIS: Final = SourceKind(
    "Kinesis",
    _arn(rf"kinesis:{_WHERE}stream/[a-zA-Z0-9_.-]{{1,128}}(/consumer/[a-zA-Z0-9_.-]+:\d+)?"),
    POSITION | RETRIES | SHARDS,
    required=("StartingPosition",),
    defaults=STREAM_DEFAULTS,
    destinations=("sqs", "sns", "s3"),
)
DYNAMODB: Final = SourceKind(
    "DynamoDB",
    _arn(rf"dynamodb:{_WHERE}table/[a-zA-Z0-9_.-]{{1,255}}/stream/\S+"),
    POSITION | RETRIES | SHARDS,
    required=("StartingPosition",),
    defaults=STREAM_DEFAULTS,
    positions=("TRIM_HORIZON", "LATEST"),
    destinations=("sqs", "sns", "s3"),
)
MSK: Final = SourceKind(
    "MSK",
    _arn(rf"kafka:{_WHERE}(cluster|vpc-connection)/\S+"),
    KAFKA | {"AmazonManagedKafkaEventSourceConfig"},
    required=("StartingPosition", "Topics"),
    defaults=KAFKA_DEFAULTS,
    destinations=("sqs", "sns", "s3", "kafka"),
    identity=("EventSourceArn", "Topics"),
    metrics=("EventCount", "ErrorCount", "KafkaMetrics"),
    pollers=(1, 2_000),
)
SELF_MANAGED_KAFKA: Final = SourceKind(
    "self-managed Kafka",
    None,
    KAFKA | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
    required=("StartingPosition", "Topics"),
    defaults=KAFKA_DEFAULTS,
    destinations=("sqs", "sns", "s3", "kafka"),
    identity=("SelfManagedEventSource", "Topics"),
    metrics=("EventCount", "ErrorCount", "KafkaMetrics"),
    pollers=(1, 2_000),
)
MQ: Final = SourceKind(
    "MQ",
    _arn(rf"mq:{_WHERE}broker:\S+"),
    frozenset({"Queues", "SourceAccessConfigurations"}),
    required=("Queues", "SourceAccessConfigurations"),
    defaults={"BatchSize": 100},
    access=frozenset({"BASIC_AUTH", "VIRTUAL_HOST"}),
    identity=("EventSourceArn", "Queues"),
)
DOCUMENTDB: Final = SourceKind(
    "DocumentDB",
    _arn(rf"rds:{_WHERE}cluster:\S+"),
    POSITION | {"SourceAccessConfigurations", "DocumentDBEventSourceConfig"},
    required=("StartingPosition", "SourceAccessConfigurations", "DocumentDBEventSourceConfig"),
    defaults={"BatchSize": 100},
    access=frozenset({"BASIC_AUTH"}),
    identity=("EventSourceArn", "DocumentDBEventSourceConfig"),
)
BY_ARN: Final = (SQS, KINESIS, DYNAMODB, MSK, MQ, DOCUMENTDB)


def kind_of(told: Mapping[str, Any]) -> SourceKind:
    """By what a request or a document has. Raises InvalidParameterValueException for a source of no kind, or two."""
    arn = told.get("EventSourceArn")
    if "SelfManagedEventSource" in told:
        if arn is not None:
            raise InvalidParameterValueException(
                "Unrecognized event source. EventSourceArn and SelfManagedEventSource are two sources: give one of them"
            )
        return SELF_MANAGED_KAFKA
    if arn is None:
        raise InvalidParameterValueException("Unrecognized event source.")
    for kind in BY_ARN:
        if kind.arn is not None and kind.arn.fullmatch(arn):
            return kind
    raise InvalidParameterValueException(
        f"Unrecognized event source. {arn} is no ARN of an SQS queue, a Kinesis stream or consumer, a DynamoDB stream, "
        "an MSK cluster, an MQ broker or a DocumentDB cluster"
    )

"""Event source mappings through boto3: kept and checked; that their sources are not polled is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from gateways import Gateway
from refusals import refused

NAME = "mapped"
ARN = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"
FIFO = f"{QUEUE}.fifo"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/users/stream/2026-01-01T00:00:00.000"
MSK = "arn:aws:kafka:us-east-1:000000000000:cluster/c/11111111-2222-3333-4444-555555555555-1"
BROKER = "arn:aws:mq:us-east-1:000000000000:broker:b:b-11111111-2222-3333-4444-555555555555"
DOCUMENTS = "arn:aws:rds:us-east-1:000000000000:cluster:documents"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:login"
LOGIN = [{"Type": "BASIC_AUTH", "URI": SECRET}]
SERVERS = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}}
KAFKA = {"StartingPosition": "LATEST", "Topics": ["orders"]}
ABSENT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module", autouse=True)
def function(served: Gateway) -> Iterator[None]:
    served.deploy(NAME, "def handler(event, context): return 1", Publish=True)
    aws = served.boto3()
    aws.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1")
    yield
    aws.delete_function(FunctionName=NAME)


@pytest.fixture(autouse=True)
def nothing_left(aws: Any) -> Iterator[None]:
    yield
    for each in aws.list_event_source_mappings()["EventSourceMappings"]:
        aws.delete_event_source_mapping(UUID=each["UUID"])


def test_a_queues_mapping_lives(aws: Any) -> None:
    made = aws.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName=NAME, Tags={"a": "b"})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    identity = made["UUID"]
    expected = {
        "UUID": identity,
        "EventSourceArn": QUEUE,
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{identity}",
        "FunctionArn": ARN,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "State": "Disabled",
        "StateTransitionReason": ("Enabled by the user, but this version of the engine does not poll event sources"),
        "LastModified": made["LastModified"],
    }
    assert {**made, "ResponseMetadata": 0} == {**expected, "ResponseMetadata": 0}
    assert abs(datetime.now(UTC) - made["LastModified"]) < timedelta(minutes=5)
    assert aws.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"a": "b"}
    changed = aws.update_event_source_mapping(
        UUID=identity,
        FunctionName=f"{NAME}:live",
        BatchSize=100,
        MaximumBatchingWindowInSeconds=1,
        Enabled=False,
        ScalingConfig={"MaximumConcurrency": 5},
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"body": {"kind": ["a", {"prefix": "b"}]}})}]},
    )
    assert (changed["BatchSize"], changed["FunctionArn"]) == (100, f"{ARN}:live")
    assert (changed["State"], changed["StateTransitionReason"]) == ("Disabled", "USER_INITIATED")
    got = aws.get_event_source_mapping(UUID=identity.upper())
    assert {**got, "ResponseMetadata": 0} == {**changed, "ResponseMetadata": 0}
    emptied = aws.update_event_source_mapping(UUID=identity, FilterCriteria={}, ScalingConfig={})
    assert "FilterCriteria" not in emptied
    assert "ScalingConfig" not in emptied
    gone = aws.delete_event_source_mapping(UUID=identity)
    assert (gone["State"], gone["ResponseMetadata"]["HTTPStatusCode"]) == ("Deleting", 202)
    told = "ResourceNotFoundException", 404, "The resource you requested does not exist."
    for operation in (
        aws.get_event_source_mapping,
        aws.update_event_source_mapping,
        aws.delete_event_source_mapping,
    ):
        assert refused(operation, UUID=identity) == told
        assert refused(operation, UUID=ABSENT) == told
    assert refused(aws.list_tags, Resource=made["EventSourceMappingArn"])[:2] == told[:2]


def test_a_streams_mapping_has_the_defaults_of_streams(aws: Any) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = aws.create_event_source_mapping(
        EventSourceArn=STREAM,
        FunctionName=NAME,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=since,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        MaximumRetryAttempts=3,
    )
    assert (made["StartingPosition"], made["StartingPositionTimestamp"]) == ("AT_TIMESTAMP", since)
    assert made["DestinationConfig"] == {"OnFailure": {"Destination": QUEUE}}
    plain = {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": 3,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
    }
    assert {key: made[key] for key in plain} == plain


@pytest.mark.parametrize(
    "given",
    [
        {"EventSourceArn": TABLE, "StartingPosition": "TRIM_HORIZON", "TumblingWindowInSeconds": 30},
        {"EventSourceArn": f"{STREAM}/consumer/c:1", "StartingPosition": "LATEST", "ParallelizationFactor": 10},
        {"EventSourceArn": MSK, **KAFKA, "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 5}},
        {"SelfManagedEventSource": SERVERS, **KAFKA, "SourceAccessConfigurations": LOGIN},
        {"EventSourceArn": BROKER, "Queues": ["jobs"], "SourceAccessConfigurations": LOGIN},
        {
            "EventSourceArn": DOCUMENTS,
            "StartingPosition": "LATEST",
            "SourceAccessConfigurations": LOGIN,
            "DocumentDBEventSourceConfig": {"DatabaseName": "shop"},
        },
        {"EventSourceArn": FIFO, "BatchSize": 10},
    ],
    ids=["dynamodb", "consumer", "msk", "kafka", "mq", "documentdb", "fifo"],
)
def test_every_kind_of_source_is_taken_and_told_as_it_was_given(aws: Any, given: dict[str, Any]) -> None:
    made = aws.create_event_source_mapping(FunctionName=f"{NAME}:1", **given)
    assert {key: made[key] for key in given} == given
    assert made["FunctionArn"] == f"{ARN}:1"
    got = aws.get_event_source_mapping(UUID=made["UUID"])
    assert {**got, "ResponseMetadata": 0} == {**made, "ResponseMetadata": 0}


def test_a_consumer_group_is_the_mappings_own_unless_it_is_said(aws: Any) -> None:
    made = aws.create_event_source_mapping(FunctionName=NAME, EventSourceArn=MSK, **KAFKA)
    assert made["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": made["UUID"]}
    said = {"ConsumerGroupId": "ours"}
    other = aws.create_event_source_mapping(
        FunctionName=NAME, SelfManagedEventSource=SERVERS, SelfManagedKafkaEventSourceConfig=said, **KAFKA
    )
    assert other["SelfManagedKafkaEventSourceConfig"] == said


NULL = "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null."
WINDOW = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Unrecognized event source."),
        ({"EventSourceArn": "arn:aws:s3:::bucket"}, "Unrecognized event source."),
        ({"EventSourceArn": TABLE.partition("/stream")[0], "StartingPosition": "LATEST"}, "Unrecognized event source."),
        ({"EventSourceArn": QUEUE, "SelfManagedEventSource": SERVERS}, "Unrecognized event source."),
        ({"EventSourceArn": STREAM}, NULL.format("startingPosition")),
        (
            {"EventSourceArn": QUEUE, "StartingPosition": "LATEST"},
            "StartingPosition is not valid for SQS event sources.",
        ),
        ({"EventSourceArn": QUEUE, "ParallelizationFactor": 2}, "ParallelizationFactor is not valid for SQS"),
        ({"EventSourceArn": STREAM, "StartingPosition": "LATEST", "Topics": ["aa"]}, "Topics is not valid for Kinesis"),
        ({"EventSourceArn": QUEUE, "BatchSize": 11}, WINDOW),
        ({"EventSourceArn": FIFO, "BatchSize": 11}, "Maximum batch size must be between 1 and 10 inclusive"),
        ({"EventSourceArn": FIFO, "MaximumBatchingWindowInSeconds": 1}, "Batching window is not supported for FIFO"),
        (
            {"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1},
            f"Unsupported starting position for arn type: {TABLE}",
        ),
        (
            {"EventSourceArn": STREAM, "StartingPosition": "LATEST", "StartingPositionTimestamp": 1},
            "Timestamp only valid with StartingPosition AT_TIMESTAMP",
        ),
        ({"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP"}, "StartingPosition AT_TIMESTAMP needs a"),
        (
            {"EventSourceArn": STREAM, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 99999999999},
            "StartingPositionTimestamp 5138-11-16",
        ),
        (
            {"EventSourceArn": STREAM, "StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 30},
            "MaximumRecordAgeInSeconds 30 is to be -1",
        ),
        ({"EventSourceArn": MSK, "StartingPosition": "LATEST"}, NULL.format("topics")),
        ({"SelfManagedEventSource": {}, **KAFKA}, NULL.format("selfManagedEventSource.endpoints")),
        ({"EventSourceArn": BROKER, "SourceAccessConfigurations": LOGIN}, NULL.format("queues")),
        (
            {
                "EventSourceArn": BROKER,
                "Queues": ["q"],
                "SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}],
            },
            "SourceAccessConfigurations of MQ event sources need one of Type BASIC_AUTH",
        ),
        (
            {
                "EventSourceArn": MSK,
                **KAFKA,
                "SourceAccessConfigurations": [{"Type": "VIRTUAL_HOST", "URI": "/"}],
            },
            "SourceAccessConfigurations Type VIRTUAL_HOST is not valid for MSK",
        ),
        (
            {
                "EventSourceArn": DOCUMENTS,
                "StartingPosition": "LATEST",
                "SourceAccessConfigurations": LOGIN,
                "DocumentDBEventSourceConfig": {"CollectionName": "c"},
            },
            NULL.format("documentDBEventSourceConfig.databaseName"),
        ),
        (
            {
                "EventSourceArn": STREAM,
                "StartingPosition": "LATEST",
                "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:f"}},
            },
            "The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination=arn:",
        ),
        (
            {
                "EventSourceArn": STREAM,
                "StartingPosition": "LATEST",
                "DestinationConfig": {"OnSuccess": {"Destination": QUEUE}},
            },
            "DestinationConfig.OnSuccess is not valid",
        ),
        (
            {"EventSourceArn": QUEUE, "ProvisionedPollerConfig": {"MinimumPollers": 1}},
            "ProvisionedPollerConfig.MinimumPollers 1 is to be from 2",
        ),
        (
            {"EventSourceArn": MSK, **KAFKA, "ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 4}},
            "ProvisionedPollerConfig.MinimumPollers 5 is more than MaximumPollers 4",
        ),
        (
            {
                "EventSourceArn": QUEUE,
                "ProvisionedPollerConfig": {"MinimumPollers": 2},
                "ScalingConfig": {"MaximumConcurrency": 2},
            },
            "ScalingConfig.MaximumConcurrency and ProvisionedPollerConfig exclude each other",
        ),
        (
            {"EventSourceArn": QUEUE, "MetricsConfig": {"Metrics": ["KafkaMetrics"]}},
            "MetricsConfig KafkaMetrics is not",
        ),
    ],
)
def test_what_makes_no_sense_for_its_source_is_refused(aws: Any, given: dict[str, Any], told: str) -> None:
    code, status, message = refused(aws.create_event_source_mapping, FunctionName=NAME, **given)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message.startswith(told)
    assert aws.list_event_source_mappings()["EventSourceMappings"] == []


@pytest.mark.parametrize(
    "pattern",
    ["no json", "[]", '{"a": 1}', '{"a": []}', '{"a": [[1]]}', '{"a": [{"like": "x"}]}', '{"$or": [1]}', ""],
)
def test_filters_are_patterns_of_events(aws: Any, pattern: str) -> None:
    filters = {"Filters": [{"Pattern": pattern}]}
    told = refused(aws.create_event_source_mapping, FunctionName=NAME, EventSourceArn=QUEUE, FilterCriteria=filters)
    assert told[0] == "InvalidParameterValueException"
    assert told[2].startswith("Invalid filter pattern definition.")


def test_ranges_are_the_models(aws: Any) -> None:
    create = aws.create_event_source_mapping
    for given in ({"BatchSize": 0}, {"BatchSize": 10_001}, {"MaximumBatchingWindowInSeconds": 301}):
        assert refused(create, FunctionName=NAME, EventSourceArn=QUEUE, **given)[0] == "ValidationException"
    told = refused(create, FunctionName=NAME, EventSourceArn=STREAM, StartingPosition="0")
    assert told[0] == "ValidationException"
    assert "'startingPosition' failed to satisfy constraint: Member must satisfy enum value set" in told[2]


def test_only_functions_that_are_there_get_records(aws: Any) -> None:
    for name in ("nobody", f"{NAME}:none", f"{NAME}:9"):
        told = refused(aws.create_event_source_mapping, FunctionName=name, EventSourceArn=QUEUE)
        assert told == ("InvalidParameterValueException", 400, "Function does not exist")
    made = aws.create_event_source_mapping(FunctionName=NAME, EventSourceArn=QUEUE)["UUID"]
    assert refused(aws.update_event_source_mapping, UUID=made, FunctionName="nobody")[2] == "Function does not exist"


def test_a_change_is_checked_with_what_stays(aws: Any) -> None:
    made = aws.create_event_source_mapping(FunctionName=NAME, EventSourceArn=QUEUE)["UUID"]
    change = aws.update_event_source_mapping
    assert refused(change, UUID=made, BatchSize=11)[2] == WINDOW
    change(UUID=made, BatchSize=11, MaximumBatchingWindowInSeconds=1)
    assert refused(change, UUID=made, MaximumBatchingWindowInSeconds=0)[2] == WINDOW
    assert refused(change, UUID=made, BisectBatchOnFunctionError=True)[0] == "InvalidParameterValueException"


def test_a_source_is_mapped_to_a_function_once(aws: Any) -> None:
    create = aws.create_event_source_mapping
    first = create(FunctionName=NAME, EventSourceArn=QUEUE)["UUID"]
    assert refused(create, FunctionName=ARN, EventSourceArn=QUEUE) == (
        "ResourceConflictException",
        409,
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" {NAME} ") already exists. '
        f"Please update or delete the existing mapping with UUID {first}",
    )
    create(FunctionName=f"{NAME}:live", EventSourceArn=QUEUE)
    stream = create(FunctionName=NAME, EventSourceArn=STREAM, StartingPosition="LATEST")["UUID"]
    assert refused(create, FunctionName=NAME, EventSourceArn=STREAM, StartingPosition="TRIM_HORIZON")[2] == (
        f'The event source arn (" {STREAM} ") and function (" {NAME} ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {stream}"
    )
    create(FunctionName=NAME, EventSourceArn=MSK, **KAFKA)
    create(FunctionName=NAME, EventSourceArn=MSK, StartingPosition="LATEST", Topics=["others"])
    assert refused(aws.update_event_source_mapping, UUID=first, FunctionName=f"{NAME}:live")[1] == 409
    aws.update_event_source_mapping(UUID=first, FunctionName=f"{NAME}:1")
    again = create(FunctionName=NAME, EventSourceArn=QUEUE)["UUID"]
    aws.delete_event_source_mapping(UUID=again)
    aws.update_event_source_mapping(UUID=first, FunctionName=NAME)


def test_of_mappings_made_at_once_one_is_left(served: Gateway, aws: Any) -> None:
    def create(client: Any) -> int:
        try:
            made = client.create_event_source_mapping(FunctionName=NAME, EventSourceArn=QUEUE)
        except ClientError as error:
            made = error.response
        return int(made["ResponseMetadata"]["HTTPStatusCode"])

    with ThreadPoolExecutor(6) as pool:
        told = sorted(pool.map(create, [served.boto3() for _ in range(6)]))
    assert told == [202, 409, 409, 409, 409, 409]
    assert len(aws.list_event_source_mappings()["EventSourceMappings"]) == 1


def test_mappings_are_listed_by_source_and_function_in_pages(aws: Any) -> None:
    for number in range(5):
        aws.create_event_source_mapping(FunctionName=NAME, EventSourceArn=f"{QUEUE}-{number}")
    aws.create_event_source_mapping(FunctionName=f"{NAME}:live", EventSourceArn=f"{QUEUE}-0")
    lists = aws.get_paginator("list_event_source_mappings")
    pages = list(lists.paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["EventSourceMappings"]) for page in pages] == [2, 2, 2]
    assert len({each["UUID"] for page in pages for each in page["EventSourceMappings"]}) == 6

    def listed(**given: str) -> int:
        return len(aws.list_event_source_mappings(**given)["EventSourceMappings"])

    assert listed(EventSourceArn=f"{QUEUE}-0") == 2
    assert listed(FunctionName=NAME) == 5
    assert listed(FunctionName=f"{ARN}:live") == 1
    assert listed(FunctionName="nobody") == 0
    assert listed(FunctionName=NAME, EventSourceArn=f"{QUEUE}-3") == 1


def test_a_mapping_outlives_its_function(served: Gateway, aws: Any) -> None:
    served.deploy("short-lived", "def handler(event, context): return 1")
    made = aws.create_event_source_mapping(FunctionName="short-lived", EventSourceArn=QUEUE)
    aws.delete_function(FunctionName="short-lived")
    got = aws.get_event_source_mapping(UUID=made["UUID"])
    assert got["FunctionArn"] == made["FunctionArn"]

"""CloudWatch Logs through boto3: groups, streams, events, patterns, live tail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from gateways import Gateway

from engine.sync import connect

TALKS = """
def handler(event, context):
    for line in event["lines"]:
        print(line)
"""


@pytest.fixture(scope="module")
def logs(served: Gateway) -> Any:
    """boto3's client of CloudWatch Logs."""
    return served.boto3("logs")


class Talker:
    """A function that prints what it is told to."""

    def __init__(self, served: Gateway, aws: Any) -> None:
        self.name = f"talks-{uuid4().hex[:8]}"
        self.group = f"/aws/lambda/{self.name}"
        self._aws = aws
        served.deploy(self.name, TALKS)

    def say(self, *lines: str, qualifier: str = "$LATEST") -> None:
        payload = json.dumps({"lines": lines}).encode()
        answer = self._aws.invoke(FunctionName=self.name, Payload=payload, Qualifier=qualifier)
        assert "FunctionError" not in answer


@pytest.fixture
def talker(served: Gateway, aws: Any) -> Iterator[Talker]:
    made = Talker(served, aws)
    yield made
    aws.delete_function(FunctionName=made.name)


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"An error occurred \({code}\)")


def test_a_group_is_there_once_its_function_has_run(logs: Any, talker: Talker) -> None:
    assert logs.describe_log_groups(logGroupNamePrefix=talker.group)["logGroups"] == []
    with refused("ResourceNotFoundException"):
        logs.filter_log_events(logGroupName=talker.group)
    before_ms = time.time_ns() // 1_000_000
    talker.say("one")
    (group,) = logs.describe_log_groups(logGroupNamePattern=talker.name)["logGroups"]
    assert group["logGroupName"] == talker.group
    assert group["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{talker.group}:*"
    assert (group["logGroupClass"], group["metricFilterCount"]) == ("STANDARD", 0)
    assert before_ms - 1_000 <= group["creationTime"] <= time.time_ns() // 1_000_000
    assert group["storedBytes"] == 4
    assert "retentionInDays" not in group


def test_groups_come_in_pages(logs: Any) -> None:
    made = [f"/pages/{uuid4().hex[:6]}/{number}" for number in range(5)]
    for name in made:
        logs.create_log_group(logGroupName=name)
    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/pages/", PaginationConfig={"PageSize": 2}
    )
    assert [group["logGroupName"] for page in pages for group in page["logGroups"]] == sorted(made)
    with refused("InvalidParameterException"):
        logs.describe_log_groups(nextToken="nonsense")
    with refused("InvalidParameterException"):
        logs.describe_log_groups(logGroupNamePrefix="a", logGroupNamePattern="b")
    for name in made:
        logs.delete_log_group(logGroupName=name)


def test_a_group_that_was_made_is_kept_with_its_tags_and_retention(logs: Any) -> None:
    name = f"/made/{uuid4().hex}"
    logs.create_log_group(logGroupName=name, tags={"team": "blue"})
    with refused("ResourceAlreadyExistsException"):
        logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["retentionInDays"] == 7
    arn = group["logGroupArn"]
    logs.tag_resource(resourceArn=arn, tags={"stage": "test"})
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "test"}
    logs.delete_retention_policy(logGroupName=name)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    with refused("InvalidParameterException"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=2)
    logs.delete_log_group(logGroupName=name)
    with refused("ResourceNotFoundException"):
        logs.delete_log_group(logGroupName=name)


def test_a_deleted_group_begins_anew(logs: Any, talker: Talker) -> None:
    talker.say("old")
    logs.put_retention_policy(logGroupName=talker.group, retentionInDays=1)
    logs.delete_log_group(logGroupName=talker.group)
    assert logs.describe_log_groups(logGroupNamePrefix=talker.group)["logGroups"] == []
    talker.say("new")
    found = messages(logs.filter_log_events(logGroupName=talker.group)["events"])
    assert "new" in found
    assert "old" not in found
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=talker.group)["logGroups"][0]


def test_streams_are_listed_in_the_orders_that_there_are(logs: Any, aws: Any, talker: Talker) -> None:
    talker.say("first")
    aws.publish_version(FunctionName=talker.name)
    talker.say("second", qualifier="1")
    by_name = logs.describe_log_streams(logGroupName=talker.group)["logStreams"]
    assert [stream["logStreamName"].split("[")[1].split("]")[0] for stream in by_name] == ["$LATEST", "1"]
    newest = logs.describe_log_streams(logGroupName=talker.group, orderBy="LastEventTime", descending=True, limit=1)
    assert "[1]" in newest["logStreams"][0]["logStreamName"]
    older = logs.describe_log_streams(
        logGroupName=talker.group, orderBy="LastEventTime", descending=True, nextToken=newest["nextToken"]
    )
    assert "[$LATEST]" in older["logStreams"][0]["logStreamName"]
    assert "nextToken" not in older
    for stream in by_name:
        assert stream["firstEventTimestamp"] <= stream["lastEventTimestamp"] <= stream["lastIngestionTime"]
        prefix = stream["logStreamName"][:20]
        found = logs.describe_log_streams(logGroupName=talker.group, logStreamNamePrefix=prefix)
        assert stream in found["logStreams"]
    with refused("InvalidParameterException"):
        logs.describe_log_streams(logGroupName=talker.group, logStreamNamePrefix="2", orderBy="LastEventTime")


def test_a_stream_is_read_from_either_end_and_followed(logs: Any, talker: Talker) -> None:
    talker.say(*(f"line {number}" for number in range(7)))
    (stream,) = logs.describe_log_streams(logGroupName=talker.group)["logStreams"]
    asked = {"logGroupName": talker.group, "logStreamName": stream["logStreamName"]}
    everything = messages(logs.get_log_events(**asked, startFromHead=True)["events"])
    assert [line for line in everything if line.startswith("line")] == [f"line {number}" for number in range(7)]
    newest = logs.get_log_events(**asked, limit=2)
    assert messages(newest["events"]) == everything[-2:]
    backward = messages(newest["events"])
    page = newest
    while page["events"]:
        page = logs.get_log_events(**asked, limit=3, nextToken=page["nextBackwardToken"])
        backward = messages(page["events"]) + backward
    assert backward == everything
    assert (
        page["nextBackwardToken"]
        == logs.get_log_events(**asked, nextToken=page["nextBackwardToken"])["nextBackwardToken"]
    )
    end = newest["nextForwardToken"]
    assert logs.get_log_events(**asked, nextToken=end)["nextForwardToken"] == end
    talker.say("later")
    later = logs.get_log_events(**asked, nextToken=end)
    assert messages(later["events"])[1] == "later"
    assert later["nextForwardToken"] != end
    with refused("InvalidParameterException"):
        logs.get_log_events(**asked, nextToken="nonsense")
    with refused("ResourceNotFoundException"):
        logs.get_log_events(logGroupName=talker.group, logStreamName="none")


def test_events_are_found_by_pattern_stream_and_time_page_by_page(logs: Any, aws: Any, talker: Talker) -> None:
    talker.say("ERROR one", "fine", '{"level": "warn", "n": 3}')
    aws.publish_version(FunctionName=talker.name)
    talker.say("ERROR two", qualifier="1")
    asked = {"logGroupName": talker.group}
    errors = logs.filter_log_events(**asked, filterPattern="ERROR")
    assert messages(errors["events"]) == ["ERROR one", "ERROR two"]
    assert errors["searchedLogStreams"] == []
    assert all(len(event["eventId"]) == 56 for event in errors["events"])
    (warning,) = logs.filter_log_events(**asked, filterPattern='{ $.level = "w*" && $.n > 2 }')["events"]
    assert warning["message"].startswith('{"level"')
    of_one = logs.filter_log_events(**asked, logStreamNames=[errors["events"][1]["logStreamName"]])["events"]
    assert {event["logStreamName"] for event in of_one} == {errors["events"][1]["logStreamName"]}
    of_prefix = logs.filter_log_events(**asked, logStreamNamePrefix=errors["events"][1]["logStreamName"][:15])
    assert of_prefix["events"] == of_one
    last_ms = errors["events"][1]["timestamp"]
    assert "ERROR two" in messages(logs.filter_log_events(**asked, startTime=last_ms, endTime=last_ms)["events"])
    assert logs.filter_log_events(**asked, startTime=last_ms + 10_000)["events"] == []
    pages = logs.get_paginator("filter_log_events").paginate(**asked, PaginationConfig={"PageSize": 2})
    ids = [event["eventId"] for page in pages for event in page["events"]]
    assert len(ids) == len(set(ids)) == len(logs.filter_log_events(**asked)["events"])
    newest_first = messages(logs.filter_log_events(**asked, filterPattern="ERROR", startFromHead=False)["events"])
    assert newest_first == ["ERROR two", "ERROR one"]
    with refused("InvalidParameterException"):
        logs.filter_log_events(**asked, filterPattern="{ $.x = ")
    with refused("ResourceNotFoundException"):
        logs.filter_log_events(**asked, logStreamNames=["none"])


def test_functions_with_one_group_are_read_together(logs: Any, served: Gateway, aws: Any) -> None:
    group = f"/shared/{uuid4().hex}"
    both = [Talker(served, aws) for _ in range(2)]
    with connect(served.socket) as client:
        for each in both:
            client.update_function_configuration(each.name, log_group=group)
    for number, each in enumerate(both):
        each.say(f"by {number}")
    found = messages(logs.filter_log_events(logGroupName=group, filterPattern="by")["events"])
    assert found == ["by 0", "by 1"]
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 1})
    assert len([event for page in pages for event in page["events"]]) == len(
        logs.filter_log_events(logGroupName=group)["events"]
    )
    assert len(logs.describe_log_streams(logGroupName=group)["logStreams"]) == 2
    for each in both:
        aws.delete_function(FunctionName=each.name)


def test_a_live_tail_tells_what_is_logged_meanwhile(served: Gateway, talker: Talker) -> None:
    talker.say("before")
    logs = served.boto3("logs", inject_host_prefix=False)
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{talker.group}"
    answer = logs.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="wanted")
    stream = answer["responseStream"]
    try:
        told = iter(stream)
        start = next(told)["sessionStart"]
        assert start["logGroupIdentifiers"] == [arn]
        assert start["logEventFilterPattern"] == "wanted"
        assert next(told)["sessionUpdate"]["sessionResults"] == []
        talker.say("wanted one", "other")
        results: list[dict[str, Any]] = []
        while not results:
            results = next(told)["sessionUpdate"]["sessionResults"]
        assert messages(results) == ["wanted one"]
        assert results[0]["logGroupIdentifier"] == f"000000000000:{talker.group}"
    finally:
        stream.close()


def test_what_is_not_served_is_refused_by_name(logs: Any) -> None:
    with refused("NotImplementedException") as said:
        logs.start_query(logGroupName="x", startTime=0, endTime=1, queryString="fields @message")
    assert said.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "StartQuery" in str(said.value)
    with refused("InvalidParameterException"):
        logs.describe_log_groups(limit=51)
    with refused("InvalidParameterException"):
        logs.filter_log_events()


def test_what_is_no_request_is_refused(served: Gateway) -> None:
    target = "X-Amz-Target: Logs_20140328."
    assert "SerializationException" in served.curl("-XPOST", "-d", "{", "-H", f"{target}DescribeLogGroups", "/").stdout
    for number in ("9223372036854775808", "1e30", "true", '"1"', "[null]"):
        asked = f'{{"logGroupName": "x", "startTime": {number}}}'
        told = served.curl("-XPOST", "-d", asked, "-H", f"{target}FilterLogEvents", "/").stdout
        assert "SerializationException" in told, number
    assert "UnknownOperationException" in served.curl("-XPOST", "-d", "{}", "-H", f"{target}Nonsense", "/").stdout

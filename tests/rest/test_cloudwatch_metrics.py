"""CloudWatch metrics through boto3, by each of the three protocols that there are clients of; and Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from gateways import CREDENTIALS, REGION, Gateway
from prometheus_client.parser import text_string_to_metric_families

CODE = """
def handler(event, context):
    if event == "fail":
        raise ValueError("asked to")
"""
PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")


def cloudwatch(served: Gateway, protocol: str) -> Any:
    """boto3's client, with a model that knows this protocol alone, as an older one does."""
    session = boto3.session.Session(region_name=REGION, **CREDENTIALS)
    loader = session._session.get_component("data_loader")
    load: Callable[..., Any] = loader.load_service_model

    def load_one(service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model = load(service_name, type_name, api_version)
        if service_name == "cloudwatch" and type_name == "service-2":
            model["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
        return model

    loader.load_service_model = load_one
    config = Config(retries={"total_max_attempts": 1})
    return session.client("cloudwatch", endpoint_url=served.url, config=config)


@pytest.fixture(scope="module", params=PROTOCOLS)
def metrics(request: pytest.FixtureRequest, served: Gateway) -> Any:
    return cloudwatch(served, request.param)


@pytest.fixture(scope="module")
def used(served: Gateway, aws: Any) -> str:
    """A function with three invocations of `$LATEST`, one of which failed, and one of its alias."""
    served.deploy("measured", CODE, Publish=True)
    aws.create_alias(FunctionName="measured", Name="live", FunctionVersion="1")
    for payload in (b"1", b'"fail"', b"2"):
        aws.invoke(FunctionName="measured", Payload=payload)
    aws.invoke(FunctionName="measured", Qualifier="live")
    return "measured"


def hours() -> dict[str, Any]:
    """One period of three hours, in the middle of which now is."""
    begin = datetime.fromtimestamp((time.time() // 3_600 - 1) * 3_600, UTC)
    return {"StartTime": begin, "EndTime": begin + timedelta(hours=3)}


def dimensions(**named: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in named.items()]


def statistics(metrics: Any, metric: str, dims: list[dict[str, str]], **asked: Any) -> list[dict[str, Any]]:
    given = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dims, "Period": 10_800, **hours(), **asked}
    answer = metrics.get_metric_statistics(**given)
    assert answer["Label"] == metric
    points: list[dict[str, Any]] = answer["Datapoints"]
    return points


def test_statistics_of_a_function_its_versions_and_its_alias(metrics: Any, used: str) -> None:
    sums = {
        resource: statistics(
            metrics, "Invocations", dimensions(FunctionName=used, Resource=resource), Statistics=["Sum"]
        )[0]["Sum"]
        for resource in (used, f"{used}:$LATEST", f"{used}:1", f"{used}:live")
    }
    assert sums == {used: 3, f"{used}:$LATEST": 3, f"{used}:1": 1, f"{used}:live": 1}
    (point,) = statistics(
        metrics, "Errors", dimensions(FunctionName=used), Statistics=["Sum", "Average", "SampleCount", "Maximum"]
    )
    assert (point["Sum"], point["Average"], point["SampleCount"], point["Maximum"]) == (1, 0.25, 4, 1)
    assert (point["Timestamp"], point["Unit"]) == (hours()["StartTime"], "Count")
    executed = dimensions(FunctionName=used, Resource=f"{used}:live", ExecutedVersion="1")
    assert statistics(metrics, "Invocations", executed, Statistics=["Sum"])[0]["Sum"] == 1


def test_percentiles_of_durations(metrics: Any, used: str) -> None:
    (point,) = statistics(
        metrics, "Duration", dimensions(FunctionName=used), ExtendedStatistics=["p50", "p99.9"], Statistics=["Maximum"]
    )
    told = point["ExtendedStatistics"]
    assert 0 < told["p50"] <= told["p99.9"] == pytest.approx(point["Maximum"])
    assert point["Unit"] == "Milliseconds"


def test_what_there_is_none_of_has_no_points(metrics: Any, used: str) -> None:
    assert statistics(metrics, "Invocations", dimensions(FunctionName="none"), Statistics=["Sum"]) == []
    assert statistics(metrics, "Invocations", dimensions(Other="x"), Statistics=["Sum"]) == []
    assert statistics(metrics, "Nonsense", [], Statistics=["Sum"]) == []
    assert statistics(metrics, "Errors", [], Statistics=["Sum"], Namespace="AWS/EC2") == []
    assert statistics(metrics, "Errors", [], Statistics=["Sum"], Unit="Seconds") == []
    long_ago = {"StartTime": datetime(2020, 1, 1, tzinfo=UTC), "EndTime": datetime(2020, 1, 2, tzinfo=UTC)}
    assert statistics(metrics, "Errors", [], Statistics=["Sum"], **long_ago) == []


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ({"Period": 61}, "InvalidParameterValue", "multiple of 60"),
        ({"Period": 60, "StartTime": datetime(2020, 1, 1)}, "InvalidParameterCombination", "the limit of 1,440"),
        ({"EndTime": datetime(2020, 1, 1)}, "InvalidParameterValue", "StartTime must be less than"),
        ({"ExtendedStatistics": ["tm90"], "Statistics": ["Sum"]}, "InvalidParameterValue", "tm90 is not supported"),
    ],
)
def test_what_cannot_be_asked_is_refused(metrics: Any, asked: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(ClientError, match=told) as refused:
        statistics(metrics, "Errors", [], **{"Statistics": ["Sum"], **asked})
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_question_without_a_statistic_is_refused(metrics: Any) -> None:
    with pytest.raises(ClientError, match="Must specify either Statistics or ExtendedStatistics") as refused:
        metrics.get_metric_statistics(Namespace="AWS/Lambda", MetricName="Errors", Period=60, **hours())
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"


def query(name: str, metric: str, dims: list[dict[str, str]], stat: str = "Sum", **others: Any) -> dict[str, Any]:
    asked = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dims}
    return {"Id": name, "MetricStat": {"Metric": asked, "Period": 10_800, "Stat": stat}, **others}


def test_data_of_several_metrics_come_together(metrics: Any, used: str) -> None:
    one = dimensions(FunctionName=used)
    answer = metrics.get_metric_data(
        MetricDataQueries=[
            query("a", "Invocations", one),
            query("b", "Errors", one, "Average", Label="rate"),
            query("c", "Duration", one, "p90", ReturnData=False),
            query("d", "Nonsense", one),
        ],
        **hours(),
    )
    results = {each["Id"]: each for each in answer["MetricDataResults"]}
    assert results.keys() == {"a", "b", "d"}
    assert (results["a"]["Values"], results["a"]["Timestamps"]) == ([4], [hours()["StartTime"]])
    assert (results["b"]["Label"], results["b"]["Values"]) == ("rate", [0.25])
    assert (results["d"]["Values"], results["d"]["StatusCode"]) == ([], "Complete")


def test_data_come_in_pages(metrics: Any, used: str) -> None:
    one = dimensions(FunctionName=used)
    queries = [query(name, metric, one) for name, metric in (("a", "Invocations"), ("b", "Errors"), ("c", "Throttles"))]
    pages = list(
        metrics.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, MaxDatapoints=1, **hours())
    )
    assert len(pages) == 3
    assert [(each["Id"], each["Values"]) for page in pages for each in page["MetricDataResults"]] == [
        ("a", [4]),
        ("b", [1]),
        ("c", [0]),
    ]


@pytest.mark.parametrize(
    ("queries", "told"),
    [
        ([{"Id": "a", "Expression": "m1 * 2"}], "Expression of 'a' is not supported"),
        ([{"Id": "a"}], "Exactly one of MetricStat and Expression"),
        ([query("a", "Errors", []), query("a", "Errors", [])], "is not unique"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(metrics: Any, queries: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ClientError, match=told) as refused:
        metrics.get_metric_data(MetricDataQueries=queries, **hours())
    assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_metrics_are_listed_by_their_dimensions(metrics: Any, used: str) -> None:
    asked = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": [{"Name": "FunctionName"}]}
    pages = metrics.get_paginator("list_metrics").paginate(**asked)
    found = [each["Dimensions"] for page in pages for each in page["Metrics"]]
    assert dimensions(FunctionName=used) in found
    assert dimensions(FunctionName=used, Resource=f"{used}:1") in found
    assert [] not in found
    everything = metrics.list_metrics()["Metrics"]
    assert {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": []} in everything


def test_what_is_not_served_is_refused_by_name(metrics: Any) -> None:
    with pytest.raises(ClientError, match="PutMetricData is not implemented") as refused:
        metrics.put_metric_data(Namespace="mine", MetricData=[{"MetricName": "x", "Value": 1.0}])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_prometheus_reads_the_same_counts(served: Gateway, used: str) -> None:
    text = served.curl("/metrics").stdout
    samples = {
        (sample.name, sample.labels.get("version"), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("function") == used
    }
    assert samples["engine_invocations_total", "$LATEST", None] == 3
    assert samples["engine_errors_total", "$LATEST", None] == 1
    assert samples["engine_invocations_total", "1", None] == 1
    assert samples["engine_duration_seconds_count", "$LATEST", None] == 3
    assert samples["engine_duration_seconds_bucket", "$LATEST", "+Inf"] == 3
    assert samples["engine_duration_seconds_bucket", "$LATEST", "900.0"] == 3

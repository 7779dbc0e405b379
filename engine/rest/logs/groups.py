"""F5: operations on log groups: listing, making and deleting them, and how long events are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...model import LogSummary
from ..call import Call, Place
from ..codecs.contract import Refusal
from .group import KIND, Group, find, group_arn, group_of, keep, look_for, name_of, now_ms
from .paging import page_of

GROUPS_MAX: Final = 50  # of a page
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1_096, 1_827, 2_192, 2_557, 2_922, 3_288, 3_653),
)


async def describe_log_groups(call: Call) -> Mapping[str, Any]:
    given = call.given
    prefix, pattern = given.get("logGroupNamePrefix"), given.get("logGroupNamePattern")
    if prefix is not None and pattern is not None:
        told = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        raise Refusal("InvalidParameterException", told)
    names = {name_of(each) for each in given.get("logGroupIdentifiers", ())}
    found = [
        group
        for group in await _all(call)
        if group.name.startswith(prefix or "")
        and (pattern or "") in group.name
        and (not names or group.name in names)
        and given.get("logGroupClass") in (None, _class(group))
    ]
    taken, token = page_of(found, given, GROUPS_MAX, lambda group: group.name)
    return {"logGroups": [_shape(call.place, group) for group in taken], "nextToken": token}


async def _all(call: Call) -> list[Group]:
    said = {each.key: each.document for each in await call.client.list_resources(KIND)}
    by_group: dict[str, list[LogSummary]] = {name: [] for name in said}
    for summary in await call.client.log_summaries():
        by_group.setdefault(summary.log_group, []).append(summary)
    return [group_of(name, summaries, said.get(name, {})) for name, summaries in sorted(by_group.items())]


def _shape(place: Place, group: Group) -> dict[str, Any]:
    arn = group_arn(place, group.name)
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "retentionInDays": group.retention_days,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": group.stored_bytes,
        "kmsKeyId": group.said.get("kmsKeyId"),
        "logGroupClass": _class(group),
        "logGroupArn": arn,
    }


def _class(group: Group) -> str:
    return str(group.said.get("logGroupClass", "STANDARD"))


async def create_log_group(call: Call) -> Mapping[str, Any]:
    given = call.given
    name = given["logGroupName"]
    if await look_for(call, name) is not None:
        raise Refusal("ResourceAlreadyExistsException", "The specified log group already exists")
    said = {key: given[key] for key in ("kmsKeyId", "tags", "logGroupClass") if key in given}
    await call.client.put_resource(KIND, name, {**said, "creationTime": now_ms()}, create=True)
    return {}


async def delete_log_group(call: Call) -> Mapping[str, Any]:
    group = await find(call, call.given["logGroupName"])
    for function in group.functions:
        await call.client.delete_logs(function)
    if group.said:
        await call.client.delete_resource(KIND, group.name)
    return {}


async def put_retention_policy(call: Call) -> Mapping[str, Any]:
    days = call.given["retentionInDays"]
    if days not in RETENTION_DAYS:
        told = f"Member must satisfy enum value set: [{', '.join(map(str, RETENTION_DAYS))}]"
        where = f"Value '{days}' at 'retentionInDays' failed to satisfy constraint"
        raise Refusal("InvalidParameterException", f"1 validation error detected: {where}: {told}")
    await keep(call, await find(call, call.given["logGroupName"]), retentionInDays=days)
    return {}


async def delete_retention_policy(call: Call) -> Mapping[str, Any]:
    await keep(call, await find(call, call.given["logGroupName"]), retentionInDays=None)
    return {}

"""Requests for any operation, made of its model: as the model has them, and then spoiled in every way a client can.

The writer here undoes nothing of the gateway's reader: it is another reading of the same model.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

FUNCTION = "fuzzed"
ARN = "arn:aws:lambda:us-east-1:000000000000"
TIME = 1_700_000_000
NO_VALUE = "\0"


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return event\n")
    return packed.getvalue()


ZIP = _zip()
# What strings of a shape or member may be, so that requests get past the door. Others are made of enums and lengths.
KNOWN: Mapping[str, tuple[str, ...]] = {
    "FunctionName": (*[FUNCTION] * 6, f"{FUNCTION}:live", f"{FUNCTION}:1", f"{ARN}:function:{FUNCTION}", "no-such"),
    "Qualifier": ("live", "1", "$LATEST", "99", "no-such"),
    "FunctionVersion": ("1", "$LATEST", "99"),
    "Name": ("live", "other"),
    "Alias": ("live", "other"),
    "LayerName": ("fuzzed-layer", f"{ARN}:layer:fuzzed-layer", "no-such"),
    "Layers": (f"{ARN}:layer:fuzzed-layer:1", f"{ARN}:layer:no-such:1"),
    "Arn": (f"{ARN}:layer:fuzzed-layer:1", f"{ARN}:function:{FUNCTION}", "arn:aws:sqs:us-east-1:000000000000:queue"),
    "Resource": (f"{ARN}:function:{FUNCTION}", f"{ARN}:function:no-such"),
    "ResourceArn": (f"{ARN}:function:{FUNCTION}", f"{ARN}:function:{FUNCTION}:live"),
    "EventSourceArn": (
        "arn:aws:sqs:us-east-1:000000000000:queue",
        "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2024-01-01T00:00:00.000",
        "arn:aws:kinesis:us-east-1:000000000000:stream/s",
    ),
    "Destination": ("arn:aws:sqs:us-east-1:000000000000:queue", f"{ARN}:function:{FUNCTION}", ""),
    "TargetArn": ("arn:aws:sqs:us-east-1:000000000000:queue", ""),
    "UUID": ("00000000-0000-0000-0000-000000000000", "no-uuid"),
    "Role": ("arn:aws:iam::123456789012:role/execution_role",),
    "Runtime": ("python3.11", "python3.13", "nodejs22.x", "provided"),
    "Handler": ("app.handler", "app", "a.b.c"),
    "PackageType": ("Zip", "Zip", "Image"),
    "S3Bucket": ("bucket",),
    "CodeSigningConfigArn": (f"{ARN}:code-signing-config:csc-0123456789abcdef0",),
    "Principal": ("*", "s3.amazonaws.com", "123456789012", "arn:aws:iam::123456789012:root"),
    "Action": ("lambda:InvokeFunction", "lambda:GetLayerVersion", "lambda:InvokeFunctionUrl", "*"),
    "StatementId": ("a-statement", "another"),
    "RevisionId": ("00000000-0000-0000-0000-000000000000", "$current"),
    "Marker": ("", "bm9uZQ==", "MTpm", "$none"),
    "Policy": ('{"Version":"2012-10-17","Statement":[]}', "{}", "no json"),
    "ClientContext": (base64.b64encode(b'{"custom":{}}').decode(), "no base64", "e30="),
    "LogGroup": ("/aws/lambda/fuzzed", "other"),
    "TenantId": ("tenant",),
    "SubnetIds": ("subnet-0a", "subnet-0b"),
    "SecurityGroupIds": ("sg-0a",),
    "KMSKeyArn": ("arn:aws:kms:us-east-1:000000000000:key/k", ""),
    "SigningProfileVersionArns": ("arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/version",),
    "LocalMountPath": ("/mnt/files",),
    # CloudWatch's
    "logGroupName": ("/aws/lambda/fuzzed", "/aws/lambda/fuzzed", "/aws/lambda/no-such", "other"),
    "logGroupIdentifier": ("/aws/lambda/fuzzed", "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/fuzzed"),
    "logStreamName": ("2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef", "no-such"),
    "filterPattern": ("", "said", "?a ?b", '"quoted"', "{ $.a = 1 }", "[a, b]", "{ $.", "%(a|b)*%", "[", "(" * 200),
    "nextToken": ("bm9uZQ==", "f/0", "b/0"),
    "Namespace": ("AWS/Lambda", "AWS/SQS"),
    "MetricName": ("Invocations", "Errors", "Duration", "none"),
    "Stat": ("Sum", "Average", "p99", "p100.1", "tm(1:2)"),
    "Id": ("m1", "1m"),
    "Expression": ("m1 * 2", "SUM(METRICS())", "("),
    "Pattern": ('{"body":{"a":[1]}}', "no json"),
}
WORDS = st.text(max_size=12)
HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0]),
    st.floats(), WORDS, st.sampled_from(["\ud800", "\x00", "é" * 70, "x" * 5_000, "../../etc/passwd", "${x}", "'\"\\"]),
    st.lists(WORDS, max_size=3), st.dictionaries(WORDS, WORDS, max_size=3), st.just([[[]] * 9] * 9),
)  # fmt: skip
LABELS = (
    "%",
    "%zz",
    "%00",
    "%2F",
    "%ff",
    "..",
    "%2e%2e%2f",
    "a%20b",
    "%F0%9F%98%80",
    "x" * 600,
    ":",
    "%24LATEST",
    "{}",
)
BODIES = (
    b"", b"null", b"[]", b"1", b'"text"', b"{", b"{}}", b"\xff\xfe", b"\x00", b"NaN", b'{"a":NaN}', b"[" * 100_000,
    b'{"a":' * 5_000, b'{"Timeout":1e999}', b'{"Timeout":1E400}', b"\xef\xbb\xbf{}", b'{"\\ud800":1}',
    b'{"Timeout":' + b"9" * 5_000 + b"}", b"\x1f\x8b\x08\x00" + bytes(30), b'{"Timeout":3,"Timeout":"4"}',
)  # fmt: skip
HEADERS = (
    ("Content-Type", "text/xml; charset=utf-7"), ("Content-Encoding", "gzip"), ("Accept", "\xff"),
    ("X-Amz-Date", "never"), ("Authorization", "AWS4-HMAC-SHA256 Credential=/////"), ("X-Amz-Log-Type", ""),
    ("X-Amz-Invocation-Type", "Sometimes"), ("Host", "127.0.0.1:-1"), ("Host", "[::1"),
    ("X-Amz-Client-Context", "%%%"), ("X-Amzn-Trace-Id", "Root=" + "\xe9" * 300),
    ("X-Forwarded-For", "1.2.3.4, " * 50), ("Content-Type", "application/json"), ("X-Amz-Tenant-Id", " "),
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """As it is to be sent: `target` with its query."""

    method: str
    labels: tuple[str, ...]  # of the path, in its order, quoted
    path: tuple[str, ...]  # what stands around them
    query: tuple[tuple[str, str, int], ...] = ()  # key, value or NO_VALUE, how many times
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        labels = (*self.labels, "")
        path = "".join(text + label for text, label in zip(self.path, labels, strict=True))
        said = ((key if value == NO_VALUE else f"{key}={value}", times) for key, value, times in self.query)
        asked = "&".join("&".join([one] * times) for one, times in said)
        return f"{path}?{asked}" if asked else path


# --- parameters as the model has them ---------------------------------------------------------------------------------


def parameters(shape: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Members of a structure: those that are required, and any of the others."""
    if shape is None:
        return st.just({})
    made = {name: _value(member, name, 0) for name, member in shape.members.items()}
    required = {name: made.pop(name) for name in shape.required_members}
    if "ZipFile" in made:  # which other members of the same structure exclude
        zipped = {**required, "ZipFile": st.just(ZIP)}
        return st.fixed_dictionaries(zipped) | st.fixed_dictionaries(required, optional=made)
    few = st.lists(st.sampled_from(sorted(made) or [""]), max_size=3, unique=True)
    some = few.flatmap(
        lambda names: st.fixed_dictionaries({**required, **{each: made[each] for each in names if each}})
    )
    return st.one_of(some, some, st.fixed_dictionaries(required, optional=made))


def _value(shape: Any, name: str, depth: int) -> st.SearchStrategy[Any]:
    kind, meta = shape.type_name, shape.metadata
    if kind == "structure":
        if depth > 3:
            return st.just({})
        made = {each: _value(member, each, depth + 1) for each, member in shape.members.items()}
        if name == "Code":
            return st.one_of(st.just({"ZipFile": ZIP}), st.fixed_dictionaries({}, optional=made))
        required = {each: made.pop(each) for each in shape.required_members}
        return st.fixed_dictionaries(required, optional=made)
    if kind == "list":
        item = _value(shape.member, name if name in KNOWN else "", depth + 1)
        return st.lists(item, min_size=meta.get("min", 0), max_size=min(meta.get("max", 3), 3))
    if kind == "map":
        return st.dictionaries(_value(shape.key, "", depth), _value(shape.value, "", depth + 1), max_size=3)
    return _scalar(shape, name)


def _scalar(shape: Any, name: str) -> st.SearchStrategy[Any]:
    kind, meta = shape.type_name, shape.metadata
    if kind in ("integer", "long"):
        least = meta.get("min", 0)
        return st.integers(least, min(meta.get("max", 10_000), least + 10_000))
    if kind in ("double", "float"):
        return st.floats(0, 1)
    if kind == "boolean":
        return st.booleans()
    if kind == "blob":
        return st.sampled_from([ZIP, b"{}", b"", b"no zip"])
    if kind == "timestamp":
        return st.just(TIME)
    if shape.enum:
        return st.sampled_from(shape.enum)
    if name in KNOWN:
        return st.sampled_from(KNOWN[name])
    least = meta.get("min", 0)
    return st.text("abcXYZ019-_", min_size=min(least, 64), max_size=max(least, min(meta.get("max", 20), 20)))


# --- a request of them ------------------------------------------------------------------------------------------------


def written(operation: Any, given: Mapping[str, Any]) -> Request:
    """A request that says these parameters where the model has their place."""
    shape, http = operation.input_shape, operation.http
    path, _, fixed = http["requestUri"].partition("?")
    pieces = _pieces(path)
    query = [
        (key, value or NO_VALUE, 1) for key, _, value in (part.partition("=") for part in fixed.split("&") if part)
    ]
    labels, headers, document, body = {}, {}, {}, b""
    for name, value in given.items():
        member = shape.members[name]
        said, place = member.serialization.get("name", name), member.serialization.get("location")
        if place == "uri":
            labels[said] = quote(str(value), safe="")
        elif place == "querystring":
            values = value if isinstance(value, list) else [value]
            query += [(said, quote(_text(each), safe=""), 1) for each in values]
        elif place == "header":
            headers[said] = _text(value)
        elif name == shape.serialization.get("payload"):
            body = value if isinstance(value, bytes) else json.dumps(plain(value)).encode()
        else:
            document[said] = plain(value)
    if document and not body:
        body = json.dumps(document).encode()
    return Request(
        http["method"],
        tuple(labels[each] or "%20" for each in pieces[1::2]),
        tuple(pieces[::2]),
        tuple(query),
        headers,
        body,
    )


def _pieces(path: str) -> list[str]:
    """Text and labels of a path in turns, text first and last."""
    return path.replace("+}", "}").replace("{", "}").split("}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


# --- and what becomes of it -------------------------------------------------------------------------------------------


@st.composite
def requests(draw: st.DrawFn, operation: Any) -> Request:
    """A request for an operation: about every third is as its model has it."""
    request = written(operation, draw(parameters(operation.input_shape)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        request = draw(st.sampled_from(SPOILERS))(draw, request)
    return request


@st.composite
def spoiled_document(draw: st.DrawFn, body: bytes) -> bytes:
    """A JSON document of which something else has become."""
    return _other_member(draw, Request("POST", (), ("/",), body=body)).body


def _other_member(draw: st.DrawFn, request: Request) -> Request:
    """Something of the document becomes something else, goes, or comes."""
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        return request
    places = list(_places(document))
    if not places:
        return replace(request, body=json.dumps({draw(WORDS): draw(HOSTILE)}).encode())
    holder, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["change", "change", "drop", "null", "deepen"])):
        case "change":
            holder[key] = draw(HOSTILE)
        case "null":
            holder[key] = None
        case "deepen":
            holder[key] = {"a": [holder[key]] * 3}
        case _:
            del holder[key]
    return replace(request, body=json.dumps(document).encode())


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(each)


def _other_label(draw: st.DrawFn, request: Request) -> Request:
    if not request.labels:
        return request
    labels = list(request.labels)
    labels[draw(st.integers(0, len(labels) - 1))] = draw(st.sampled_from(LABELS))
    return replace(request, labels=tuple(labels))


def _other_query(draw: st.DrawFn, request: Request) -> Request:
    keys = [key for key, _, _ in request.query] or ["MaxItems", "Marker", "Qualifier", "tagKeys"]
    key = draw(st.sampled_from([*keys, "MaxItems", "Qualifier", "FunctionVersion", "%zz", ""]))
    value = draw(
        st.sampled_from(["", NO_VALUE, "%", "%ff", "-1", "0", "1e3", "9" * 400, "٣", "true", "a;b", "x" * 300])
    )
    return replace(request, query=(*request.query, (key, value, draw(st.sampled_from([1, 2, 1_500])))))


def _other_body(draw: st.DrawFn, request: Request) -> Request:
    cut = request.body[: len(request.body) // 2]
    return replace(request, body=draw(st.sampled_from([*BODIES, cut, request.body * 2])))


def _other_header(draw: st.DrawFn, request: Request) -> Request:
    name, value = draw(st.sampled_from(HEADERS))
    return replace(request, headers={**request.headers, name: value})


def _other_method(draw: st.DrawFn, request: Request) -> Request:
    return replace(request, method=draw(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"])))


SPOILERS = (
    *(_other_member, _other_member, _other_member, _other_member),
    *(_other_label, _other_query, _other_body, _other_header, _other_method),
)

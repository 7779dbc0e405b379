"""Real functions with real dependencies: from a zip, from its bytes, and from the folder that the engine builds."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from doors import ONE_VCPU_MB, Door

from engine import InvokeResult

FUNCTIONS = Path(__file__).parent.parent / "functions"


@pytest.fixture(params=["a zip's path", "a zip's bytes", "the folder"])
def way(request: pytest.FixtureRequest) -> str:
    told: str = request.param
    return told


def code_of(name: str, way: str, bundles: Any) -> Path | bytes:
    if way == "the folder":
        return FUNCTIONS / name
    zipped: Path = bundles.zipped(name)
    return zipped if way == "a zip's path" else zipped.read_bytes()


def run(door: Door, name: str, code: Path | bytes, *events: object) -> list[InvokeResult]:
    handler = "app.handler"
    door.create_function(name, code=code, handler=handler, memory_mb=ONE_VCPU_MB, timeout_s=30)
    try:
        return [door.invoke(name, event) for event in events]
    finally:
        door.delete_function(name)


def event_of(name: str, file: str = "event.json") -> Any:
    return json.loads((FUNCTIONS / name / file).read_text())


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height from a JPEG's frame header; it must have its end marker too."""
    assert data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
    at = 2
    while True:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length


def test_hello_greets(door: Door, bundles: Any, way: str) -> None:
    named, bare = run(door, "hello", code_of("hello", way, bundles), event_of("hello"), None)
    assert (named.json(), bare.json()) == ({"message": "Hello, Ada!"}, {"message": "Hello, world!"})


def test_thumbnail_makes_a_real_picture(door: Door, bundles: Any, way: str) -> None:
    event = event_of("thumbnail")
    good, bad = run(door, "thumbnail", code_of("thumbnail", way, bundles), event, {**event, "width": 0})
    assert good.function_error is None, good.payload
    answer: Any = good.json()
    width, height = jpeg_size(base64.b64decode(event["image"]))
    scale = min(event["width"] / width, event["height"] / height)
    size = (round(width * scale), round(height * scale))
    picture = base64.b64decode(answer["image"], validate=True)
    assert (answer["width"], answer["height"], answer["format"]) == (*size, "JPEG")
    assert jpeg_size(picture) == size
    assert 500 < len(picture) < len(event["image"])
    failure: Any = bad.json()
    assert (bad.function_error, failure["errorType"]) == ("Unhandled", "ValueError")
    assert failure["errorMessage"] == "width must be a whole number from 1 to 2048, not 0"


def test_thumbnail_keeps_the_proportions_of_what_it_is_asked_for(door: Door, bundles: Any) -> None:
    event = event_of("thumbnail")
    sizes = [(40, 40), (300, 20), (2_048, 2_048)]
    events = [{**event, "width": width, "height": height} for width, height in sizes]
    results = run(door, "thumbnail", bundles.zipped("thumbnail"), *events)
    pictures = [base64.b64decode(result.json()["image"]) for result in results]
    assert [jpeg_size(picture) for picture in pictures] == [(40, 30), (27, 20), (640, 480)]


def test_asgi_answers_both_versions_of_api_gateways_events(door: Door, bundles: Any, way: str) -> None:
    second = event_of("asgi")
    unknown = json.loads(json.dumps(second).replace("/orders/7", "/orders/8"))
    results = run(door, "asgi", code_of("asgi", way, bundles), second, event_of("asgi", "event_v1.json"), unknown)
    assert [result.function_error for result in results] == [None] * 3, results[0].payload
    answer, first, missing = (result.json() for result in results)
    assert answer["statusCode"] == 200
    assert answer["headers"]["x-served-by"] == "orders"
    assert json.loads(answer["body"]) == {"id": 7, "item": "tea", "pieces": 2, "currency": "GBP"}
    assert missing["statusCode"] == 404
    assert first["statusCode"] == 201
    assert "multiValueHeaders" in first


def test_transform_standardises_a_table(door: Door, bundles: Any, way: str) -> None:
    event = event_of("transform")
    good, bad = run(door, "transform", code_of("transform", way, bundles), event, {"rows": [[1.0]]})
    assert good.function_error is None, good.payload
    answer: Any = good.json()
    assert answer["shape"] == [len(event["rows"]), 3]
    for column, given in zip(zip(*answer["rows"], strict=True), zip(*event["rows"], strict=True), strict=True):
        mean = sum(given) / len(given)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in given) / len(given)) or 1
        assert column == pytest.approx([(value - mean) / deviation for value in given], abs=1e-6)
    assert answer["axis"] == pytest.approx([math.sqrt(0.5), math.sqrt(0.5), 0], abs=1e-3)
    assert bad.json()["errorType"] == "ValueError"


def test_the_three_ways_give_the_same_answers(door: Door, bundles: Any) -> None:
    for name in ("hello", "asgi"):
        ways = ("a zip's path", "a zip's bytes", "the folder")
        answers = {run(door, name, code_of(name, way, bundles), event_of(name))[0].payload for way in ways}
        assert len(answers) == 1

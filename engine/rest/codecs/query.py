"""F5: AWS's query protocol: a form with dotted names one way, XML the other. Older SDKs and tools speak it.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from ..response import Response
from .contract import Fault, Unreadable
from .values import moment, read, text_scalar

FIELDS_MAX: Final = 20_000
XML_TYPE: Final = "text/xml"
NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PARTS_MAX: Final = 32  # of a name


def form(body: bytes) -> dict[str, str]:
    """The fields of a body. Raises Unreadable."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise Unreadable(f"the body is no form: {error}") from error


class QueryCodec:
    """namespace: of the answers' XML."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def read(self, shape: Any, body: bytes) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in form(body).items():
            _put(tree, name, value)
        given: dict[str, Any] = {} if shape is None else read(shape, _shaped(shape, tree), text_scalar)
        return given

    def write(self, operation: Any, result: Mapping[str, Any], request_id: str) -> Response:
        root = ElementTree.Element(f"{operation.name}Response", xmlns=self._namespace)
        shape = operation.output_shape
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper")
            _write(root if wrapper is None else ElementTree.SubElement(root, wrapper), shape, result)
        ElementTree.SubElement(ElementTree.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
        return _response(200, root, request_id)

    def fault(self, fault: Fault, request_id: str) -> Response:
        root = ElementTree.Element("ErrorResponse", xmlns=self._namespace)
        error = ElementTree.SubElement(root, "Error")
        for name, text in (("Type", fault.whose), ("Code", fault.query_code), ("Message", fault.message)):
            ElementTree.SubElement(error, name).text = NOT_XML.sub("\ufffd", text)
        ElementTree.SubElement(root, "RequestId").text = request_id
        return _response(fault.status, root, request_id)


def _response(status: int, root: ElementTree.Element, request_id: str) -> Response:
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return Response(status, body, (("x-amzn-requestid", request_id),), XML_TYPE)


def _put(tree: dict[str, Any], name: str, value: str) -> None:
    *above, last = name.split(".", PARTS_MAX)
    for part in above:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise Unreadable(f"{name[:100]} is said of a value that is given whole")
    if last in tree:
        raise Unreadable(f"{name[:100]} is given twice")
    tree[last] = value


def _shaped(shape: Any, value: Any) -> Any:
    """Numbered fields as the lists and maps that they stand for."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        names = {each.serialization.get("name", name): each for name, each in shape.members.items()}
        return {name: _shaped(names[name], each) for name, each in value.items() if name in names}
    if kind == "list":
        if not value or value == {"": ""}:
            return []
        inner = value if shape.serialization.get("flattened") else _inner(value, _member_name(shape))
        return [_shaped(shape.member, each) for each in _numbered(inner)]
    if kind == "map":
        inner = value if shape.serialization.get("flattened") else _inner(value, "entry")
        entries = _numbered(inner)
        return {str(_inner(entry, "key")): _shaped(shape.value, _inner(entry, "value")) for entry in entries}
    return value


def _inner(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise Unreadable(f"a list's fields are called .{name}.N, and {str(value)[:100]!r} is none")
    return value[name]


def _numbered(value: Any) -> list[Any]:
    if not isinstance(value, dict) or not all(number.isdecimal() and len(number) < 10 for number in value):
        raise Unreadable(f"fields of a list are numbered, and {str(value)[:100]!r} is not")
    return [value[number] for number in sorted(value, key=int)]


def _member_name(shape: Any) -> str:
    return str(shape.member.serialization.get("name", "member"))


def _write(element: ElementTree.Element, shape: Any, value: Any) -> None:
    """A value as the content of an element."""
    kind = shape.type_name
    if kind == "structure":
        for name, each in value.items():
            if each is not None:
                _write_member(element, shape.members[name], name, each)
    elif kind == "list":
        for each in value:
            _write(ElementTree.SubElement(element, _member_name(shape)), shape.member, each)
    elif kind == "map":
        for key, each in value.items():
            entry = ElementTree.SubElement(element, "entry")
            ElementTree.SubElement(entry, "key").text = NOT_XML.sub("\ufffd", key)
            _write(ElementTree.SubElement(entry, "value"), shape.value, each)
    else:
        element.text = NOT_XML.sub("\ufffd", _text(kind, value))


def _write_member(element: ElementTree.Element, shape: Any, name: str, value: Any) -> None:
    said = shape.serialization.get("name", name)
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        for each in value:
            _write(ElementTree.SubElement(element, said), shape.member, each)
    else:
        _write(ElementTree.SubElement(element, said), shape, value)


def _text(kind: str, value: Any) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return _iso(moment(value))
    if kind == "blob":
        return base64.b64encode(value).decode()
    return repr(float(value)) if kind in ("double", "float") else str(value)


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds").replace("+00:00", "Z")

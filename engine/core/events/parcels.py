"""F3: what is to be sent to another service of AWS. boto3 is the couriers' matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, cast

from ...errors import InvalidParameterValueException, LambdaError

Kind = Literal["sqs", "sns", "s3", "events", "lambda"]

_KINDS: Final = frozenset({"sqs", "sns", "s3", "events", "lambda"})


class Attribute(NamedTuple):
    """Of a message: its type there (`String`, `Number`) and its value as text."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be sent where. Raises InvalidParameterValueException where nothing can be sent.

    region: where the target is; "" is what its ARN says. attributes: of a message to a queue or topic. key: of an
    object in a bucket. detail_type, source, resources: of an event on a bus.
    """

    target_arn: str
    body: bytes = field(repr=False)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    region: str = ""
    key: str = ""
    detail_type: str = ""
    source: str = ""
    resources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "lambda":
            raise InvalidParameterValueException(f"{self.target_arn}: functions are invoked, nothing is sent to them")
        if self.kind == "s3" and not self.key:
            raise InvalidParameterValueException(f"{self.target_arn}: give the object's key")
        if self.kind == "events" and not (self.detail_type and self.source):
            raise InvalidParameterValueException(f"{self.target_arn}: give the event's detail type and its source")

    @property
    def kind(self) -> Kind:
        return destination_kind(self.target_arn)

    def to_map(self) -> dict[str, Any]:
        """Of what msgpack takes, the empty left out."""
        told = {
            "arn": self.target_arn,
            "kind": self.kind,
            "region": self.region or self.target_arn.split(":", 5)[3],
            "body": self.body,
            "attributes": {name: list(attribute) for name, attribute in self.attributes.items()},
            "key": self.key,
            "detail_type": self.detail_type,
            "source": self.source,
            "resources": list(self.resources),
        }
        return {name: value for name, value in told.items() if value or name == "body"}

    @classmethod
    def from_map(cls, told: Mapping[str, Any]) -> Parcel:
        """What `to_map` told."""
        return cls(
            target_arn=told["arn"],
            body=told["body"],
            attributes={name: Attribute(*attribute) for name, attribute in told.get("attributes", {}).items()},
            region=told.get("region", ""),
            key=told.get("key", ""),
            detail_type=told.get("detail_type", ""),
            source=told.get("source", ""),
            resources=tuple(told.get("resources", ())),
        )


def destination_kind(arn: str) -> Kind:
    """The service that the ARN names. Raises InvalidParameterValueException for one that takes no results."""
    service = _service(arn)
    if service not in _KINDS:
        raise _invalid(arn)
    return cast("Kind", service)


def _service(arn: str) -> str:
    parts = arn.split(":", 5)
    return parts[2] if len(parts) == 6 and parts[0] == "arn" else ""


def _invalid(arn: str) -> LambdaError:
    return InvalidParameterValueException(f"The destination ARN {arn} is invalid.")

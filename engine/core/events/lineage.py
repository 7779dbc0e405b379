"""F3: how often a function has called itself, directly or over others, as the trace header tells it. Pure functions.

Whoever calls on from a function passes on its X-Amzn-Trace-Id, as AWS's SDKs do by themselves; `Lineage` in it counts
each function of the chain: `Root=1-…;Parent=…;Sampled=0;Lineage=1:fe460cdd:3|68fd508a:1`.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from ...config import HOPS_MAX
from ...errors import InvalidParameterValueException, RecursiveInvocationException

HEADER_MAX: Final = 2_048
FUNCTIONS_MAX: Final = 32  # of one chain that are counted; beyond, the oldest is forgotten
VERSION: Final = "1"


class Hop(NamedTuple):
    """A header as a function gets it, and which run of that function in the chain this is."""

    header: str
    run: int


def arriving(header: str, function_arn: str) -> Hop:
    """The header for a function (unqualified ARN) that is called with `header`: its own count is one higher."""
    fields = [field for field in header.split(";") if field and not field.startswith("Lineage=")]
    counts = counts_of(header)
    key = key_of(function_arn)
    run = counts.pop(key, 0) + 1
    counts[key] = run
    told = "|".join(f"{each}:{count}" for each, count in list(counts.items())[-FUNCTIONS_MAX:])
    return Hop(";".join([*fields, f"Lineage={VERSION}:{told}"]), run)


def counts_of(header: str) -> dict[str, int]:
    """By function, in order of its last call. What cannot be read counts for nothing."""
    found: dict[str, int] = {}
    for field in header.split(";"):
        if field.startswith("Lineage="):
            for each in field.removeprefix("Lineage=").removeprefix(f"{VERSION}:").split("|"):
                key, _, count = each.rpartition(":")
                if key and count.isdecimal() and len(count) < 6:
                    found[key] = int(count)
    return found


def is_recursive(run: int) -> bool:
    """Whether that is so often that it is stopped."""
    return run > HOPS_MAX


def with_header(extra: bytes, header: str) -> bytes:
    """What goes to the environment beside an event, with this trace header."""
    beside = json.loads(extra) if extra else {}
    return json.dumps({**beside, "trace_id": header}).encode()


def header_of(extra: bytes) -> str | None:
    """The trace header in it."""
    found = json.loads(extra).get("trace_id") if extra else None
    return found if isinstance(found, str) else None


def called_on(extra: bytes, header: str, function_arn: str, *, allowed: Callable[[], bool]) -> bytes:
    """`extra` for an invocation that waits for its answer. Raises RecursiveInvocationException where not allowed."""
    checked(header)
    hop = arriving(header, function_arn)
    if is_recursive(hop.run) and not allowed():
        raise RecursiveInvocationException(
            f"{function_arn} was invoked {hop.run} times in one chain, by itself or through others: its invocation "
            "is stopped as recursive"
        )
    return with_header(extra, hop.header)


def checked(header: str) -> str:
    """Raises InvalidParameterValueException for what is no trace header."""
    if not header or len(header) > HEADER_MAX or not header.isascii() or not header.isprintable():
        raise InvalidParameterValueException(
            f"trace_header={header[:100]!r}: give an X-Amzn-Trace-Id of at most {HEADER_MAX} printable characters"
        )
    return header


def key_of(function_arn: str) -> str:
    """Eight hexadecimal digits that stand for a function."""
    return blake2b(function_arn.encode(), digest_size=4).hexdigest()


def beginning(request_id: str, function_arn: str) -> str:
    """The header of a chain that begins with an invocation that came with none: as its environment makes it."""
    digits = request_id.replace("-", "")
    root = f"Root=1-{digits[:8]}-{digits[8:]};Parent={digits[20:]}{digits[8:12]};Sampled=0"
    return arriving(root, function_arn).header

"""F5: what of each service's API is served here: `python -m engine.rest.parity` writes it as docs/rest-api.md.

What an operation is comes from botocore's model, what stands behind it from the handlers: nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

import botocore
import click

from . import invocations, services
from .call import Handler
from .handlers import HANDLERS, REFUSED
from .service_model import service_model

State: TypeAlias = Literal["served", "stored only", "refused", "not implemented"]
STORED: Final = "Stored"  # so begins the docstring of a handler that keeps what has no effect here
UNKNOWN: Final = "this engine does not have it"
HEAD: Final = """# Lambda's API, operation by operation

Made by `python -m engine.rest.parity > docs/rest-api.md`; a test says when that is due. What is about all of them is in
[rest.md](rest.md).

*Stored only*: checked, kept and given back, and without effect. *Refused*: answered 501 with `NotImplementedException`
and the reason, as is any operation that a newer botocore brings.
"""


class Row(NamedTuple):
    """One operation. notes: the first line of its handler's docstring, or why it is refused."""

    operation: str
    state: State
    notes: str


def lambda_rows() -> list[Row]:
    """Every operation of Lambda's model."""
    return [_lambda_row(name) for name in service_model().operation_names]


def _lambda_row(name: str) -> Row:
    if name in invocations.OPERATIONS:
        return Row(name, "served", invocations.OPERATIONS[name])
    if name in HANDLERS:
        return _served(name, HANDLERS[name])
    return Row(name, "refused" if name in REFUSED else "not implemented", REFUSED.get(name, UNKNOWN))


def _served(name: str, handler: Handler) -> Row:
    lines = (handler.__doc__ or "").strip().splitlines()
    notes = lines[0] if lines else ""
    return Row(name, "stored only" if notes.startswith(STORED) else "served", notes)


def other_rows(service: services.Service) -> list[Row]:
    """Operations of another service that are served: most of its model is about other things than functions."""
    names = sorted({*service.handlers, *service.streams})
    return [
        _served(name, service.handlers[name]) if name in service.handlers else Row(name, "served", "") for name in names
    ]


def document() -> str:
    """docs/rest-api.md."""
    rows = lambda_rows()
    told = [HEAD, f"## Lambda\n\n{len(rows)} operations, as botocore {botocore.__version__} has them.\n", *_table(rows)]
    for title, service in (("CloudWatch Logs", services.LOGS), ("CloudWatch", services.CLOUDWATCH)):
        told += [f"\n## {title}\n\nWhat else its model has is refused.\n", *_table(other_rows(service))]
    return "\n".join(told) + "\n"


def _table(rows: list[Row]) -> Iterator[str]:
    yield "| operation | state | notes |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row.operation} | {row.state} | {row.notes.replace('|', chr(92) + '|')} |".replace("|  |", "| |")


if __name__ == "__main__":
    click.echo(document(), nl=False)

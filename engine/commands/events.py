"""F6: `engine events`: what waits to be run, and what became of what was accepted."""

from __future__ import annotations

from typing import Any, Final

import click

from .service import Service, as_json_option, on_service
from .show import print_json, print_table

HEADINGS: Final = {
    "AsyncEventsReceived": "received",
    "depth": "waiting",
    "in_flight": "running",
    "put_off": "put off",
    "oldest_age_ms": "oldest s",
    "retries": "retries",
    "throttles": "throttles",
    "AsyncEventsDropped": "dropped",
    "RecursiveInvocationsDropped": "recursive",
    "destinations_delivered": "delivered",
    "DestinationDeliveryFailures": "not delivered",
    "DeadLetterErrors": "dead letters lost",
}


@click.command()
@click.argument("name", required=False)
@on_service
@as_json_option
def events(name: str | None, service: Service, as_json: bool) -> None:
    """Events that wait, and what became of others since the service began; by function and qualifier."""
    with service.client() as client:
        told = client.stats(name)
    found = {function: about["events"] for function, about in told["functions"].items() if about["events"]}
    if as_json:
        print_json({"functions": found, "all": told["events"]})
        return
    rows = [
        (function, qualifier, *(_shown(key, counts[key]) for key in HEADINGS))
        for function, by_qualifier in found.items()
        for qualifier, counts in by_qualifier.items()
    ]
    print_table(["function", "qualifier", *HEADINGS.values()], rows, numbers=HEADINGS.values())


def _shown(key: str, value: Any) -> object:
    return f"{value / 1_000:.1f}" if key == "oldest_age_ms" and value is not None else value

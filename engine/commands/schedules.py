"""F6: `engine schedule`, `schedules` and `unschedule`: when a running service invokes functions by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from .. import config, errors
from ..client.blocking import Client
from ..core.schedules.validation import WINDOW_MAX_MINUTES
from ..model import Schedule
from ..wire.values import as_map
from .given import read_event
from .service import Service, as_json_option, on_service
from .show import print_json, print_table

HEADINGS = ("schedule", "expression", "time zone", "function", "state", "next tick", "fired", "missed", "problem")


def _moment(_: click.Context, param: click.Parameter, given: str | None) -> int | None:
    """ISO 8601 as Unix time in milliseconds; without an offset it is UTC."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        told = f"{given!r} is no moment: write 2026-12-24T18:00:00+01:00, or without +01:00 for UTC"
        raise click.BadParameter(told, param=param) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@click.command()
@click.argument("name")
@click.argument("expression")
@click.argument("function")
@click.option("--payload", metavar="JSON|@FILE|-", help="The event; by default Scheduler's own.")
@click.option("--timezone", default="UTC", show_default=True, help="In which the expression is read.")
@click.option(
    "--flexible", type=click.IntRange(0, WINDOW_MAX_MINUTES), default=0, metavar="MINUTES", help="May be so late."
)
@click.option("--start", callback=_moment, metavar="ISO", help="Not before then.")
@click.option("--end", callback=_moment, metavar="ISO", help="Not after then.")
@click.option("--disabled", is_flag=True, help="Keep it without invoking anything.")
@click.option("--dead-letter", metavar="ARN", help="A queue for events that could not be handed to the function.")
@click.option(
    "--retries", type=click.IntRange(0, config.SCHEDULE_RETRY_ATTEMPTS_MAX), help="How often that is tried again."
)
@click.option(
    "--event-age",
    type=click.IntRange(config.EVENT_AGE_MIN_S, config.SCHEDULE_EVENT_AGE_MAX_S),
    metavar="SECONDS",
    help="How old an event may be; by default a day.",
)
@click.option("--delete-after", is_flag=True, help="Delete it after its last invocation.")
@click.option("--description", default="", help="What it is for.")
@on_service
@as_json_option
def schedule(
    name: str,
    expression: str,
    function: str,
    payload: str | None,
    timezone: str,
    flexible: int,
    start: int | None,
    end: int | None,
    disabled: bool,
    dead_letter: str | None,
    retries: int | None,
    event_age: int | None,
    delete_after: bool,
    description: str,
    service: Service,
    as_json: bool,
) -> None:
    """Invoke FUNCTION by itself: 'rate(5 minutes)', 'cron(0 12 * * ? *)' or 'at(2026-12-24T18:00:00)'.

    Makes schedule NAME, or puts this in its place: what is not given has its default again.
    """
    settings: dict[str, Any] = {
        "timezone": timezone,
        "payload": None if payload is None else read_event(payload, "--payload"),
        "state": "DISABLED" if disabled else "ENABLED",
        "flexible_window_minutes": flexible,
        "start_ms": start,
        "end_ms": end,
        "maximum_retry_attempts": retries,
        "maximum_event_age_s": event_age,
        "dead_letter_arn": dead_letter,
        "action_after_completion": "DELETE" if delete_after else "NONE",
        "description": description,
    }
    with service.client() as client:
        made = _put(client, name, expression, function, settings)
        next_ms = client.stats()["schedules"].get(name, {}).get("next_ms")
    if as_json:
        print_json({**schedule_as_json(made), "next_ms": next_ms})
    else:
        click.echo(f"{name}: {'no tick is to come' if next_ms is None else f'the next tick is at {iso(next_ms)}'}")


def _put(client: Client, name: str, expression: str, function: str, settings: dict[str, Any]) -> Schedule:
    try:
        return client.create_schedule(name, expression, function, **settings)
    except errors.ResourceConflictException:
        return client.update_schedule(name, expression, function, **settings)


@click.command()
@on_service
@as_json_option
def schedules(service: Service, as_json: bool) -> None:
    """List schedules: when each comes next, and its ticks since the service began."""
    with service.client() as client:
        found, counts = client.list_schedules(), client.stats()["schedules"]
    none = {"next_ms": None, "fired": 0, "missed": 0, "problem": None}  # of one that was made in between
    rows = [(each, counts.get(each.name, none)) for each in found]
    if as_json:
        print_json({"schedules": [{**schedule_as_json(each), **told} for each, told in rows]})
        return
    cells = [
        (
            each.name,
            each.expression,
            each.timezone,
            each.function,
            each.state,
            None if told["next_ms"] is None else iso(told["next_ms"]),
            told["fired"],
            told["missed"],
            told["problem"],
        )
        for each, told in rows
    ]
    print_table(HEADINGS, cells, numbers=("fired", "missed"))


@click.command()
@click.argument("name")
@on_service
def unschedule(name: str, service: Service) -> None:
    """Delete a schedule. What it has invoked already runs on."""
    with service.client() as client:
        client.delete_schedule(name)


def schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    """Its fields as JSON values; the payload as text."""
    payload = schedule.payload
    return {**as_map(schedule), "payload": None if payload is None else payload.decode("utf-8", "replace")}


def iso(ms: int) -> str:
    """A moment in UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

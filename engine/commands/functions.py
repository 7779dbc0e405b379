"""F6: `engine deploy`, `invoke`, `ls` and `rm`: functions of a running service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import config, errors
from ..client.blocking import Client
from ..client.entries import choose_entry
from ..model import EventInvokeConfig, FunctionConfiguration, ProvisionedConcurrencyConfig
from ..store.event_invoke import EventInvokeSettings, event_settings
from ..wire.values import as_map
from .given import parse_variables, read_event, split_target
from .service import Service, as_json_option, on_service, told_errors
from .show import print_json, print_table, result_as_json


@click.command()
@click.argument("name")
@click.argument("target", metavar="PATH[:HANDLER]")
@click.option("--runtime", help="The function's runtime; by default what its code is in, as this host has it.")
@click.option("--memory", type=int, help="Memory in MB.")
@click.option("--timeout", type=int, help="Time limit in seconds.")
@click.option("--env", "variables", multiple=True, metavar="K=V", help="A variable; repeated, they replace all.")
@click.option("--layer", "layers", multiple=True, metavar="PATH", help="A layer; repeated, they replace all.")
@click.option("--role", help="The ARN of the execution role.")
@click.option("--description", help="What it is for.")
@click.option("--network", type=click.Choice(config.NETWORKS), help="What it may reach; by default the service's own.")
@click.option("--snap-start/--no-snap-start", default=None, help="Start published versions from a snapshot.")
@click.option("--tenant-isolation", is_flag=True, help="Keep tenants apart, for good: each invocation names its own.")
@click.option("--publish", is_flag=True, help="Publish a version of it.")
@click.option("--alias", metavar="NAME", help="Have this alias name that version; implies --publish.")
@click.option("--provisioned", type=click.IntRange(0), help="Keep N environments of that version ready; 0: none.")
@click.option("--dead-letter", metavar="ARN", help="A queue or topic for events that failed for good; '' is none.")
@click.option("--retries", type=click.IntRange(0, config.RETRY_ATTEMPTS_MAX), help="How often events are tried again.")
@click.option(
    "--event-age",
    type=click.IntRange(config.EVENT_AGE_MIN_S, config.EVENT_AGE_MAX_S),
    metavar="SECONDS",
    help="How long events are tried.",
)
@click.option("--on-success", metavar="ARN", help="What is told of events that are done; '' is nothing.")
@click.option("--on-failure", metavar="ARN", help="What is told of events that failed for good; '' is nothing.")
@on_service
@as_json_option
def deploy(
    name: str,
    target: str,
    runtime: str | None,
    memory: int | None,
    timeout: int | None,
    variables: tuple[str, ...],
    layers: tuple[str, ...],
    role: str | None,
    description: str | None,
    network: str | None,
    snap_start: bool | None,
    tenant_isolation: bool,
    publish: bool,
    alias: str | None,
    provisioned: int | None,
    dead_letter: str | None,
    retries: int | None,
    event_age: int | None,
    on_success: str | None,
    on_failure: str | None,
    service: Service,
    as_json: bool,
) -> None:
    """Deploy a folder, .zip, .jar or source file as function NAME, or give NAME this code and these settings.

    A folder's requirements.txt is installed here first. What is not given stays as it is, or is Lambda's default. What
    is said about events holds for the alias, else the version, that this deploys, else for $LATEST.
    """
    if provisioned is not None and not publish and alias is None:
        raise click.UsageError("--provisioned takes --publish or --alias: $LATEST has no provisioned concurrency")
    path, handler = split_target(target)
    with told_errors():
        handler, runtime = choose_entry(path, handler, runtime)
    settings = {
        "handler": handler,
        "runtime": runtime,
        "memory_mb": memory,
        "timeout_s": timeout,
        "environment": parse_variables(variables) or None,
        "layers": [Path(layer) for layer in layers] or None,
        "role": role,
        "description": description,
        "network": network,
        "snap_start": snap_start,
        "dead_letter_target_arn": dead_letter,
    }
    events = event_settings(retries, event_age, on_success, on_failure)
    given = {key: value for key, value in settings.items() if value is not None}
    with service.client() as client:
        made = _deployed(client, name, path, given, tenant_isolation)
        if publish or alias is not None:
            made = client.publish_version(name, description=description)
        if alias is not None:
            _point(client, name, alias, made.version)
        if provisioned is not None:
            _provision(client, name, alias or made.version, provisioned)
        if any(value is not None for value in events.values()):
            _say(client, name, alias or made.version, events)
    if as_json:
        print_json(as_map(made))
    else:
        click.echo(made.function_arn)


def _deployed(
    client: Client, name: str, path: Path, given: dict[str, Any], tenant_isolation: bool
) -> FunctionConfiguration:
    try:
        held = client.get_function(name)
    except errors.ResourceNotFoundException:
        return client.create_function(
            name, code=path, tenant_isolation="PER_TENANT" if tenant_isolation else None, **given
        )
    if tenant_isolation and held.tenant_isolation is None:
        client.update_function_configuration(name, tenant_isolation="PER_TENANT")  # which is refused, and told why
    client.update_function_code(name, code=path)
    return client.update_function_configuration(name, **given)


def _point(client: Client, name: str, alias: str, version: str) -> None:
    try:
        client.create_alias(name, alias, version)
    except errors.ResourceConflictException:
        client.update_alias(name, alias, function_version=version)


def _provision(client: Client, name: str, qualifier: str, provisioned: int) -> None:
    if provisioned == 0:
        client.delete_provisioned_concurrency_config(name, qualifier)
    else:
        client.put_provisioned_concurrency_config(name, qualifier, provisioned)


def _say(client: Client, name: str, qualifier: str, events: EventInvokeSettings) -> None:
    try:
        client.update_function_event_invoke_config(name, qualifier=qualifier, **events)
    except errors.ResourceNotFoundException:
        client.put_function_event_invoke_config(name, qualifier=qualifier, **events)


@click.command()
@click.argument("name")
@click.argument("payload", required=False, metavar="[JSON|@FILE|-]")
@click.option("--qualifier", help="A version or an alias.")
@click.option("--type", "kind", type=click.Choice(["RequestResponse", "Event", "DryRun"]), default="RequestResponse")
@click.option("--log", is_flag=True, help="Print the end of the invocation's log on standard error.")
@click.option("--client-context", metavar="JSON|@FILE", help="A JSON object for context.client_context.")
@click.option("--tenant", metavar="ID", help="For whom, of a function that keeps its tenants apart.")
@on_service
@as_json_option
def invoke(
    name: str,
    payload: str | None,
    qualifier: str | None,
    kind: Any,
    log: bool,
    client_context: str | None,
    tenant: str | None,
    service: Service,
    as_json: bool,
) -> None:
    """Invoke a function and print its answer. Exit status 1 when the function fails."""
    event = read_event(payload, "PAYLOAD")
    context = _context(client_context)
    with service.client() as client:
        result = client.invoke(
            name,
            event,
            qualifier=qualifier,
            invocation_type=kind,
            client_context=context,
            log_tail=log,
            tenant_id=tenant,
        )
    if as_json:
        print_json(result_as_json(result))
    elif kind == "Event":
        click.echo(f"accepted as {result.request_id}", err=True)
    else:
        click.echo(result.payload)
    if result.log_tail and not as_json:
        click.echo(result.log_tail.replace("\r", "\n"), err=True, nl=False)
    sys.exit(1 if result.function_error else 0)


def _context(given: str | None) -> dict[str, object] | None:
    if given is None:
        return None
    import json

    context = json.loads(read_event(given, "--client-context"))
    if not isinstance(context, dict):
        raise click.BadParameter("it is a JSON object", param_hint="--client-context")
    return context


@click.command()
@click.argument("name", required=False)
@on_service
@as_json_option
def ls(name: str | None, service: Service, as_json: bool) -> None:
    """List functions; of one function its versions, aliases, provisioned concurrency and event invoke configs."""
    with service.client() as client:
        if name is None:
            _list("functions", client.list_functions(), as_json)
            return
        versions, aliases = client.list_versions(name), client.list_aliases(name)
        provisioned = client.list_provisioned_concurrency_configs(name)
        events = client.list_function_event_invoke_configs(name)
    if as_json:
        told = {"versions": versions, "aliases": aliases, "provisioned": provisioned, "event_invoke": events}
        print_json(as_map(told))
        return
    _list("versions", versions, as_json)
    if aliases:
        click.echo()
        print_table(
            ["alias", "version", "description"],
            [(each.name, each.function_version, each.description) for each in aliases],
        )
    if provisioned:
        click.echo()
        _list_provisioned(provisioned)
    if events:
        click.echo()
        _list_event_invoke(events)


def _list_provisioned(configs: list[ProvisionedConcurrencyConfig]) -> None:
    headings = ["provisioned", "requested", "available", "status", "why"]
    rows = [
        (
            each.function_arn.rpartition(":")[2],
            each.requested_provisioned_concurrent_executions,
            each.available_provisioned_concurrent_executions,
            each.status,
            each.status_reason,
        )
        for each in configs
    ]
    print_table(headings, rows, numbers=("requested", "available"))


def _list_event_invoke(configs: list[EventInvokeConfig]) -> None:
    headings = ["events of", "retries", "age s", "on success", "on failure"]
    rows = [
        (
            each.function_arn.rpartition(":")[2],
            each.maximum_retry_attempts,
            each.maximum_event_age_s,
            each.on_success,
            each.on_failure,
        )
        for each in configs
    ]
    print_table(headings, rows, numbers=("retries", "age s"))


def _list(what: str, functions: list[FunctionConfiguration], as_json: bool) -> None:
    if as_json:
        print_json({what: as_map(functions)})
        return
    headings = ["function", "version", "runtime", "handler", "MB", "s", "code bytes", "last modified", "description"]
    rows = [
        (
            each.function_name,
            each.version,
            each.runtime,
            each.handler,
            each.memory_mb,
            each.timeout_s,
            each.code.size,
            each.last_modified,
            each.description,
        )
        for each in functions
    ]
    print_table(headings, rows, numbers=("MB", "s", "code bytes"))


@click.command()
@click.argument("name")
@click.option("--qualifier", help="Only this published version.")
@on_service
def rm(name: str, qualifier: str | None, service: Service) -> None:
    """Delete a function, or one version of it. Invocations under way finish."""
    with service.client() as client:
        client.delete_function(name, qualifier=qualifier)

"""F5: from the command's options to a target and a plan. Raises ValueError for what does not fit together."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from .. import errors
from ..wire.address import parse_address
from . import arrivals, trace
from .bounds import CONCURRENCY, DURATION_MAX_S, DURATION_S, MAX_OUTSTANDING
from .mix import FUNCTIONS_MAX, Mix, Weighted, parse_sizes, parse_weighted
from .run import Limits
from .session import Plan
from .targets import Deployment, Embedded, Socket, Target, check_local

Options = dict[str, Any]
SPARE_DESCRIPTORS: Final = 64
NEEDS: Final = {
    "arrivals": ("--rate R", ("rate", "burst", "trace")),
    "minutes": ("--trace FILE", ("trace",)),
    "speed": ("--trace FILE", ("trace",)),
    "top": ("--trace FILE", ("trace",)),
    "within": ("--trace FILE", ("trace",)),
}
OPEN_ONLY: Final = ("max_outstanding",)
CLOSED_ONLY: Final = ("concurrency", "expected_interval")


def functions_of(options: Options) -> list[Weighted]:
    if len(options["functions"]) > FUNCTIONS_MAX:
        raise ValueError(f"{len(options['functions'])} functions: at most {FUNCTIONS_MAX} can be told apart in one run")
    return [parse_weighted(text) for text in options["functions"]]


# --- the target -------------------------------------------------------------------------------------------------------


def target_of(options: Options) -> Target:
    """Made, not opened."""
    given = [f"--{name}" for name in ("embedded", "socket", "endpoint") if options[name]]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: load goes to one target")
    names = [function.what for function in functions_of(options)]
    if options["socket"]:
        return _socket(options, names)
    if options["endpoint"]:
        return _endpoint(options, names)
    return Embedded(
        names,
        Deployment(
            options["runtime"],
            options["memory"],
            options["timeout"],
            _variables(options["variables"]),
            lambda line: click.echo(click.style(line.rstrip("\n"), dim=True), err=True),
        ),
    )


def _socket(options: Options, names: list[str]) -> Target:
    try:
        address = parse_address(options["socket"])
    except errors.InvalidParameterValueException as wrong:
        raise ValueError(f"--socket: {wrong}") from wrong
    if address.host:
        check_local(address.host, options["allow_remote"])
    token_file = options["token_file"]
    token = None if token_file is None else Path(token_file).read_text().strip()
    return Socket(address, names, token=token, tls_ca=options["tls_ca"])


def _endpoint(options: Options, names: list[str]) -> Target:
    from .endpoint import Endpoint

    outstanding, descriptors = _outstanding(options), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if outstanding > descriptors - SPARE_DESCRIPTORS:
        raise ValueError(
            f"{outstanding} calls at once need as many connections, and this shell allows {descriptors} open files: "
            f"lower {'--max-outstanding' if _is_open(options) else '--concurrency'}, or raise it by `ulimit -n`"
        )
    return Endpoint(
        options["endpoint"],
        names,
        region=options["region"],
        log_tail=options["log_tail"],
        allow_remote=options["allow_remote"],
    )


def _variables(pairs: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--env {pair!r} has no '=': write NAME=VALUE")
        parsed[key] = value
    return parsed


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan_of(options: Options) -> Plan:
    """What is sent when, and the bounds. Everything random hangs on `seed`."""
    _check(options)
    functions = functions_of(options)
    payloads, payload_weights = _payloads(options)
    mix = Mix([function.weight for function in functions], payloads, payload_weights, options["seed"])
    sizes = sorted({len(payload) for payload in payloads})
    common = {
        "functions": [{"name": function.what, "weight": function.weight} for function in functions],
        "payload_bytes": sizes,
        "seed": options["seed"],
        "count": options["count"],
    }
    if options["trace"]:
        return _replay(options, mix, len(functions), common)
    limits = Limits(options["duration"] or DURATION_S, options["count"], _outstanding(options), options["drain"])
    common |= {"duration_s": limits.duration_s, "drain_s": limits.drain_s}
    if not _is_open(options):
        interval_ms = options["expected_interval"]
        settings = {"shape": "closed loop", "concurrency": limits.outstanding, **common}
        interval_ns = None if interval_ms is None else int(interval_ms * 1e6)
        return Plan(limits, settings, calls=mix.calls(), expected_interval_ns=interval_ns)
    times, shape = _schedule(options)
    settings = {"shape": "open loop", **shape, "max_outstanding": limits.outstanding, **common}
    return Plan(limits, settings, arrivals=zip(times, mix.calls(), strict=False))


def _schedule(options: Options) -> tuple[Iterator[int], dict[str, Any]]:
    kind = options["arrivals"] or "constant"
    if kind == "bursts":
        shape = {"arrivals": kind, "burst": options["burst"], "every_s": options["every"]}
        return arrivals.bursts(options["burst"], options["every"]), shape
    rate = options["rate"]
    shape = {"arrivals": kind, "rate_per_s": rate}
    if kind == "poisson":
        return arrivals.poisson(rate, Random(f"arrivals {options['seed']}")), shape
    return arrivals.constant(rate), shape


def _replay(options: Options, mix: Mix, functions: int, common: dict[str, Any]) -> Plan:
    minutes = trace.parse_minutes(options["minutes"] or f"1-{trace.MINUTES}")
    try:
        read = trace.read_trace(options["trace"], minutes, options["top"] or functions)
    except OSError as error:
        raise ValueError(f"--trace: cannot read {options['trace']}: {error.strerror}") from error
    speed = options["speed"] or 1.0
    within: trace.Within = options["within"] or "poisson"
    length_s = min(len(minutes) * 60 / speed, DURATION_MAX_S)
    limits = Limits(options["duration"] or length_s, options["count"], _outstanding(options), options["drain"])
    settings = {
        "shape": "trace replay",
        "trace": str(options["trace"]),
        "minutes": f"{minutes[0]}-{minutes[-1]}",
        "speed": speed,
        "within": within,
        "trace_functions": len(read.rows),
        "trace_invocations": read.invocations,
        "max_outstanding": limits.outstanding,
        "duration_s": limits.duration_s,
        "drain_s": limits.drain_s,
        **common,
    }
    times = trace.arrivals(read.rows, functions, within, options["seed"], speed)
    calls = (
        (at_ns, (function, payload))
        for (at_ns, function), payload in zip(times, mix.payloads(), strict=False)  # payloads never end
    )
    return Plan(limits, settings, arrivals=calls, notes=tuple(_told(read, functions, limits.duration_s, length_s)))


def _told(read: trace.Trace, functions: int, duration_s: float, length_s: float) -> Iterator[str]:
    yield (
        f"The trace's {len(read.rows)} busiest functions are replayed, rank i by function (i mod {functions}): "
        f"{read.invocations:,} invocations. Left out: {read.left_out_rows:,} others with "
        f"{read.left_out_invocations:,} invocations."
    )
    if duration_s < length_s:
        yield f"Only the first {duration_s:g} s of {length_s:g} s are replayed: that is the duration asked for."


def _check(options: Options) -> None:
    """Options that mean nothing together are refused, not passed over."""
    given = (options["arrivals"] == "bursts", options["burst"] is not None, options["every"] is not None)
    if any(given) and not all(given):
        raise ValueError("--arrivals bursts, --burst SIZE and --every SECONDS go together")
    for name, (way_out, needs) in NEEDS.items():
        if options[name] is not None and not any(options[need] is not None for need in needs):
            raise ValueError(f"{_flag(name)} needs {way_out}")
    shapes = [_flag(name) for name in ("rate", "burst", "trace") if options[name] is not None]
    if len(shapes) > 1:
        raise ValueError(f"{' and '.join(shapes)} are two schedules: give one")
    if options["arrivals"] is not None and options["trace"] is not None:
        raise ValueError("--arrivals is not for --trace: use --within")
    useless = CLOSED_ONLY if _is_open(options) else OPEN_ONLY
    for name in useless:
        if options[name] is not None:
            kind, other = ("an open", "closed") if _is_open(options) else ("a closed", "open")
            raise ValueError(f"{_flag(name)} means nothing in {kind} loop: it is for the {other} one")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_open(options: Options) -> bool:
    return any(options[name] is not None for name in ("rate", "burst", "trace"))


def _outstanding(options: Options) -> int:
    if _is_open(options):
        return int(options["max_outstanding"] or MAX_OUTSTANDING)
    return int(options["concurrency"] or CONCURRENCY)


def _payloads(options: Options) -> tuple[list[bytes], list[float]]:
    if options["payload_size"] is not None:
        if options["payload"] is not None:
            raise ValueError("--payload and --payload-size: give one")
        return parse_sizes(options["payload_size"])
    return [_payload(options["payload"])], [1.0]


def _payload(given: str | None) -> bytes:
    if given is None:
        return b"{}"
    if given == "-":
        text = sys.stdin.buffer.read()
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_bytes()
        except OSError as error:
            raise ValueError(f"--payload: cannot read {given[1:]}: {error.strerror}") from error
    else:
        text = given.encode()
    try:
        json.loads(text)
    except ValueError as error:
        raise ValueError(f"--payload is not JSON: {error}") from error
    return text

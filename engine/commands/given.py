"""F6: what people write on a command line, read: PATH[:HANDLER], K=V, JSON from a file or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


def split_target(target: str) -> tuple[Path, str | None]:
    """PATH, or PATH:HANDLER; a path that has a colon in its name is taken as it is."""
    path, colon, handler = target.rpartition(":")
    if not colon or Path(target).exists():
        path, handler = target, ""
    if not Path(path).exists():
        raise click.BadParameter(
            f"{path} does not exist: give a folder, a .zip, a .jar or a source file", param_hint="PATH"
        )
    return Path(path), handler or None


def read_event(event: str | None, hint: str) -> bytes:
    """JSON given as text, @FILE or `-`; nothing is `{}`. `hint` is what the command calls it."""
    if event is None:
        return b"{}"
    if event == "-":
        text = sys.stdin.buffer.read()
    elif event.startswith("@"):
        try:
            text = Path(event[1:]).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"cannot read {event[1:]}: {error.strerror}", param_hint=hint) from error
    else:
        text = event.encode()
    try:
        json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint=hint) from error
    return text


def parse_variables(pairs: tuple[str, ...]) -> dict[str, str]:
    """Environment variables out of K=V."""
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} has no '=': write NAME=VALUE", param_hint="--env")
        parsed[key] = value
    return parsed

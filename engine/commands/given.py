"""F6: what people write on a command line, read: PATH[:HANDLER], K=V, JSON from a file or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


def split_target(target: str) -> tuple[Path, str | None]:
    """PATH, or PATH:HANDLER. Both may have colons: the longest path that is there is taken."""
    colons = [at for at, character in enumerate(target) if character == ":"]
    for at in (len(target), *reversed(colons)):
        if Path(target[:at]).exists():
            return Path(target[:at]), target[at + 1 :] or None
    path = target[: colons[0]] if colons else target
    raise click.BadParameter(
        f"{path} does not exist: give a folder, a .zip, a .jar or a source file", param_hint="PATH"
    )


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

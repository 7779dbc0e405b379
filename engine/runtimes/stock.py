"""F1: which processes may be started before anybody knows for which function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What the loader, the C library or whoever starts the process reads once, as it begins.
READ_AT_START: Final = ("LD_", "GLIBC_TUNABLES", "MALLOC_", "AWS_LAMBDA_EXEC_WRAPPER")


def stock_of(kind: str, environment: Mapping[str, str], *read_at_start: str) -> str | None:
    """`kind`, or None where the function has variables that must be there from the start: prefixes of their names."""
    prefixes = (*READ_AT_START, *read_at_start)
    return None if any(name.startswith(prefixes) for name in environment) else kind

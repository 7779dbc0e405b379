"""F0: what an engine was opened with, checked, and what this host offers it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Final, Literal

from . import config
from .errors import InvalidParameterValueException
from .model import Network
from .validation import validate_architecture

OWN_RUNTIME: Final = f"python{sys.version_info[0]}.{sys.version_info[1]}"
OWN_ARCHITECTURE: Final = "arm64" if os.uname().machine == "aarch64" else os.uname().machine
CHOICES: Final = {
    "sandbox": ("auto", "strict", "off"),
    "scaling": ("adaptive", "lambda"),
    "cpu": ("lambda", "host"),
    "keep_alive_policy": ("fixed", "histogram"),
    "eviction": ("least-recently-used", "greedy-dual"),
}
KEEP_ALIVE_MOST_S: Final = 31_536_000  # a year: an environment that is kept for ever
EPHEMERAL_STORAGES: Final = ("disk", "memory")  # what /tmp is made of; None: disk where that can be had
CONCURRENCY_MAX: Final = 10_000_000
LEDGER_LEAST_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The arguments of `Engine`. Raises InvalidParameterValueException, naming the value."""

    data_dir: str | None
    sandbox: Literal["auto", "strict", "off"]
    scaling: Literal["adaptive", "lambda"]
    cpu: Literal["lambda", "host"]
    account_concurrency: int
    keep_alive_s: float
    keep_alive_policy: Literal["fixed", "histogram"]
    eviction: Literal["least-recently-used", "greedy-dual"]
    memory_budget_mb: int | None
    region: str
    account_id: str
    strict_runtimes: bool
    credentials: dict[str, str]
    ledger_bytes: int
    network: Network | None = None
    ephemeral_storage: Literal["disk", "memory"] | None = None
    aws_endpoint_url: str | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                told = ", ".join(repr(choice) for choice in choices)
                raise InvalidParameterValueException(f"{name}={getattr(self, name)!r}: choose one of {told}")
        if self.network is not None and self.network not in config.NETWORKS:
            told = ", ".join(repr(choice) for choice in config.NETWORKS)
            raise InvalidParameterValueException(f"network={self.network!r}: choose one of {told}, or None")
        if self.ephemeral_storage not in (None, *EPHEMERAL_STORAGES):
            told = ", ".join(repr(choice) for choice in EPHEMERAL_STORAGES)
            raise InvalidParameterValueException(
                f"ephemeral_storage={self.ephemeral_storage!r}: choose one of {told}, or None"
            )
        if not 1 <= self.account_concurrency <= CONCURRENCY_MAX:
            raise InvalidParameterValueException(
                f"account_concurrency={self.account_concurrency}: it lies between 1 and {CONCURRENCY_MAX:,}"
            )
        if not 0 <= self.keep_alive_s <= KEEP_ALIVE_MOST_S:
            raise InvalidParameterValueException(
                f"keep_alive_s={self.keep_alive_s}: give seconds, between 0 and {KEEP_ALIVE_MOST_S:,}"
            )
        if self.memory_budget_mb is not None and self.memory_budget_mb < config.MEMORY_MIN_MB:
            raise InvalidParameterValueException(
                f"memory_budget_mb={self.memory_budget_mb}: give at least {config.MEMORY_MIN_MB}, what the smallest "
                "function has, or None for as much as the host has"
            )
        if self.aws_endpoint_url is not None and not self.aws_endpoint_url.startswith(("http://", "https://")):
            raise InvalidParameterValueException(
                f"aws_endpoint_url={self.aws_endpoint_url!r}: give a URL, such as 'http://127.0.0.1:4566', or None"
            )
        if self.ledger_bytes < LEDGER_LEAST_BYTES:
            raise InvalidParameterValueException(
                f"ledger_bytes={self.ledger_bytes}: give at least {LEDGER_LEAST_BYTES:,}"
            )

    @property
    def default_network(self) -> Network:
        """What a function may reach that does not say so itself."""
        if self.network is not None:
            return self.network
        return "loopback" if self.sandbox == "strict" else "host"


def check_architecture(architecture: object) -> None:
    """Refuse code for another kind of CPU than this host's. Raises as `validate_architecture`, and
    InvalidParameterValueException."""
    validate_architecture(architecture)
    if architecture != OWN_ARCHITECTURE:
        raise InvalidParameterValueException(
            f"architecture {architecture} cannot be run here: this host's CPUs are {OWN_ARCHITECTURE}. Build the "
            f"function for {OWN_ARCHITECTURE}, or run the engine on a host of the other kind"
        )


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def default_socket() -> str:
    """The path on which an engine of this user serves, and where its clients look: `$ENGINE_SOCKET` when it is set."""
    given = os.environ.get("ENGINE_SOCKET")
    if given:
        return given
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "engine.sock")
    return "/run/engine.sock" if os.getuid() == 0 else f"/tmp/engine-{os.getuid()}/engine.sock"


def default_data_dir() -> str:
    """Where a service keeps what must outlive it: `/var/lib` for root, else below `$XDG_DATA_HOME`."""
    if os.getuid() == 0:
        return "/var/lib/invocation-engine"
    base = os.environ.get("XDG_DATA_HOME", "")
    root = base if os.path.isabs(base) else os.path.expanduser("~/.local/share")
    return os.path.join(root, "invocation-engine")

"""F1: which mechanism a host gets, and the plain statement of what is enforced and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from engine.errors import SandboxUnavailableError

from .cgroup1 import Cgroup1
from .cgroup2 import Cgroup2
from .contract import Mechanism, MechanismUnavailableError
from .null import Null
from .polling import Polling

LIMITS: Final = ("memory", "cpu", "pids", "freeze")
JAIL: Final = (
    *("files", "processes", "network", "ipc", "hostname", "users"),
    *("capabilities", "system calls", "file access"),
)
_CANDIDATES: Final[tuple[Callable[[], Mechanism], ...]] = (Cgroup2, Cgroup1)


class Enforcement(NamedTuple):
    """One line of `engine doctor`: a limit, the mechanism that enforces it or None, and how or why not."""

    limit: str
    mechanism: str | None
    why: str


def choose(wanted: Literal["auto", "off", "strict"] = "auto") -> Mechanism:
    """The best limits mechanism this host allows, opened: the caller closes it. "off" enforces nothing."""
    if wanted == "off":
        return Null()
    refusals: list[str] = []
    for candidate in _CANDIDATES:
        try:
            return candidate()
        except MechanismUnavailableError as error:
            refusals.append(str(error))
    return Polling("; ".join(refusals))


def lines(mechanism: Mechanism, enforced: Mapping[str, str], missing: Mapping[str, str]) -> list[Enforcement]:
    """What is enforced and by what: limits by the mechanism, the rest by the jail that a zygote built here."""
    found = [
        Enforcement(limit, mechanism.name if limit in mechanism.enforces else None, mechanism.why[limit])
        for limit in LIMITS
    ]
    found += [Enforcement("descriptors", "rlimit", "1,024 for each process")]
    return found + [
        Enforcement(part, "kernel" if part in enforced else None, enforced.get(part) or missing.get(part, "not tried"))
        for part in JAIL
    ]


def refuse_what_is_missing(found: Iterable[Enforcement]) -> None:
    """For `sandbox="strict"`. Raises SandboxUnavailableError that names everything that is not enforced, and why."""
    missing = [f"{line.limit} ({line.why})" for line in found if line.mechanism is None]
    if missing:
        raise SandboxUnavailableError(f'sandbox="strict" cannot be had here; not enforced: {"; ".join(missing)}')

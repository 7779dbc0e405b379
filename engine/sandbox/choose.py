"""F1: which mechanism a host gets, and the plain statement of what is enforced and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from engine.errors import SandboxUnavailableError

from .cgroup1 import Cgroup1
from .cgroup2 import Cgroup2
from .contract import Mechanism, MechanismUnavailableError
from .null import Null
from .polling import Polling

LIMITS: Final = ("memory", "cpu", "pids", "freeze")
# What a complete sandbox has besides, and this version does not: `strict` names exactly these.
NOT_BUILT: Final = (
    "namespaces (processes, mounts, network, IPC, hostname)",
    "seccomp (system call filter)",
    "landlock (file access)",
    "root filesystem (read-only code, /tmp of the asked size)",
    "descriptors (1,024 per environment)",
)
_CANDIDATES: Final[tuple[Callable[[], Mechanism], ...]] = (Cgroup2, Cgroup1)


class Enforcement(NamedTuple):
    """One line of `engine doctor`: a limit, the mechanism that enforces it or None, and how or why not."""

    limit: str
    mechanism: str | None
    why: str


def choose(wanted: Literal["auto", "off", "strict"] = "auto") -> Mechanism:
    """The best mechanism this host allows, opened: the caller closes it.

    `strict` raises SandboxUnavailableError that names everything missing; `off` enforces nothing.
    """
    if wanted == "off":
        return Null()
    mechanism, refusals = _best()
    missing = [line.limit for line in _lines(mechanism, refusals) if line.mechanism is None]
    if wanted == "strict" and missing:
        mechanism.close()
        raise SandboxUnavailableError(f'sandbox="strict" cannot be had here; not enforced: {"; ".join(missing)}')
    return mechanism


def report(mechanism: Mechanism | None = None) -> list[Enforcement]:
    """What is enforced and by what: by an open mechanism, or by the one `choose("auto")` would give on this host."""
    if mechanism is not None:
        return _lines(mechanism, [])
    best, refusals = _best()
    try:
        return _lines(best, refusals)
    finally:
        best.close()


def _best() -> tuple[Mechanism, list[str]]:
    """The first that works, and why those before it do not."""
    refusals: list[str] = []
    for candidate in _CANDIDATES:
        try:
            return candidate(), refusals
        except MechanismUnavailableError as error:
            refusals.append(str(error))
    return Polling(), refusals


def _lines(mechanism: Mechanism, refusals: list[str]) -> list[Enforcement]:
    told = f" ({'; '.join(refusals)})" if refusals else ""
    lines = []
    for limit in LIMITS:
        enforced = limit in mechanism.enforces
        by = mechanism.name if enforced else None
        lines.append(Enforcement(limit, by, mechanism.why[limit] + told))
    return lines + [Enforcement(limit, None, "not built yet") for limit in NOT_BUILT]

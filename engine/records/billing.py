"""F1: from measured time to billed time, as pure functions of whole nanoseconds. Prices are not here.

Lambda rounds Init + Duration up to the next millisecond. What it rounds is not documented: the measured time or the two
decimals it prints. Here the measured nanoseconds are billed, and the printed figures are rounded *up* to hundredths. So
a warm REPORT line always agrees with itself, whoever recomputes a cold one never finds less than was billed, and no
float takes part that could bill a millisecond of its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine import config

NS_PER_MS: Final = 1_000_000
_NS_PER_HUNDREDTH: Final = 10_000
_MB_MS_PER_GB_S: Final = 1_024_000  # 1 GB = 1,024 MB


def billed_ms_from_ns(duration_ns: int, init_ns: int | None = None, restore_ns: int | None = None) -> int:
    """Billed milliseconds: everything together, rounded up once; at least 1. ValueError for a negative time.

    `init_ns` is an on-demand init's; `restore_ns` is the billed restore of a snapshot start, which has no init.
    """
    parts = (duration_ns, init_ns or 0, restore_ns or 0)
    if min(parts) < 0:
        raise ValueError(f"a time cannot be negative: {duration_ns=}, {init_ns=}, {restore_ns=}")
    return max(1, -(-sum(parts) // NS_PER_MS))


def billed_ms(duration_ms: float, init_ms: float | None = None, restore_ms: float | None = None) -> int:
    """The same for milliseconds such as a REPORT line shows: 250.06 + 100.77 is 351. Taken to the nearest ns first."""
    return billed_ms_from_ns(_ns(duration_ms), _ns(init_ms), _ns(restore_ms))


def reported_ns(duration_ns: int, timeout_s: int, *, timed_out: bool) -> int:
    """The duration to report and bill: of a timed-out invocation exactly the limit, of any other at most that."""
    limit_ns = timeout_s * 1_000 * NS_PER_MS
    return limit_ns if timed_out else min(duration_ns, limit_ns)


def printed_ms(time_ns: int) -> str:
    """Milliseconds with two decimals, rounded up: what REPORT shows."""
    whole, hundredths = divmod(-(-time_ns // _NS_PER_HUNDREDTH), 100)
    return f"{whole}.{hundredths:02d}"


def gb_seconds(billed_ms: int, memory_mb: int) -> Decimal:
    """GB-seconds, exact."""
    return gb_seconds_from_mb_ms(billed_ms * memory_mb)


def ephemeral_gb_seconds(billed_ms: int, ephemeral_mb: int) -> Decimal:
    """GB-seconds of /tmp above the 512 MB that cost nothing, exact."""
    return gb_seconds_from_mb_ms(billed_ms * max(0, ephemeral_mb - config.EPHEMERAL_MIN_MB))


def gb_seconds_from_mb_ms(mb_ms: int) -> Decimal:
    """A sum of megabytes times milliseconds as GB-seconds: sums stay whole numbers until here."""
    return Decimal(mb_ms) / _MB_MS_PER_GB_S


def _ns(time_ms: float | None) -> int:
    return 0 if time_ms is None else round(time_ms * NS_PER_MS)
